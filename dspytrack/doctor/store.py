"""Checks of what a run does with the store: its experiment, its artifacts, the registry, each tried for real."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from urllib.parse import urlparse

from dspytrack.doctor.check import Check, failed, failed_with, passed, skipped
from dspytrack.doctor.folder_settings import FolderSettings
from dspytrack.errors import DspytrackError
from dspytrack.tracking import selftest
from dspytrack.tracking.address import sqlite_file
from dspytrack.tracking.config import MLflowConfig


def experiment(here: FolderSettings) -> Iterator[Check]:
    """A run can be written to the experiment, read back and deleted."""
    config = here.mlflow
    if _not_there_yet(config):
        yield skipped("experiment", "the first run makes the database")
        return
    try:
        written = selftest.try_run(config)
    except DspytrackError as error:
        yield failed_with("experiment", error, _fix(here, str(error), config))
        return
    how = "a run was written, read and deleted"
    if written.is_left:
        how = "a run was written and read; this login may not delete it: dspytrack-doctor stays, and is used again"
    if written.is_configured:
        yield passed("experiment", f"{written.experiment}: {how}")
    else:
        yield passed("experiment", f"{config.experiment_name} is made by the first run; {how} in {written.experiment}")


def artifacts(here: FolderSettings) -> Iterator[Check]:
    """An artifact can be written, read back and deleted, wherever artifacts go."""
    config = here.mlflow
    if _not_there_yet(config):
        yield skipped("artifacts", "the first run makes the database")
        return
    silent = _silent_s3(here, config)
    if silent is not None:
        yield silent
        return
    try:
        written = selftest.try_artifacts(config)
    except DspytrackError as error:
        yield failed_with("artifacts", error, _fix_artifacts(here, config))
        return
    where = written.artifact_uri.rpartition("/artifacts")[0].rpartition("/")[0]
    through = " through the server" if where.startswith("mlflow-artifacts:") else ""
    how = "read; this login may not delete it" if written.is_left else "read and deleted"
    yield passed("artifacts", f"one was written, {how}{through} ({where})")


def registry(here: FolderSettings) -> Iterator[Check]:
    """The registry answers, where it is not the tracking server."""
    config = here.mlflow
    if config.registry_uri is None or config.registry_uri == config.tracking_uri:
        yield skipped("registry", "it is the tracking server")
        return
    try:
        as_store = config.model_copy(update={"tracking_uri": config.registry_uri})
        if not _not_there_yet(as_store):
            selftest.check_registry(as_store)
        yield passed("registry", f"{here.without_secrets(config.registry_uri)} answers")
    except DspytrackError as error:
        yield failed_with("registry", error, "correct MLFLOW_REGISTRY_URI, or start the server there")


def _not_there_yet(config: MLflowConfig) -> bool:
    file = sqlite_file(config.tracking_uri)
    return file is not None and not file.exists()


def _s3(here: FolderSettings, config: MLflowConfig) -> str | None:
    """The S3 address that artifacts go to, by the client itself or by this folder's server; None for another store."""
    location = config.artifact_location
    if location is None and here.server_kind and not here.value("MLFLOW_SERVER_WITH_S3"):
        location = here.value("MLFLOW_ARTIFACTS_DESTINATION")
    return location if location and location.startswith("s3:") else None


def _silent_s3(here: FolderSettings, config: MLflowConfig) -> Check | None:
    """The check of an S3 store that this machine cannot connect to, where boto3 alone would try for minutes."""
    endpoint = here.value("MLFLOW_S3_ENDPOINT_URL")
    if endpoint is None or _s3(here, config) is None:
        return None
    url = urlparse(endpoint)
    try:
        socket.create_connection((url.hostname or "", url.port or (443 if url.scheme == "https" else 80)), 4).close()
    except OSError as error:
        why = error.strerror or str(error)
        fix = f"start the S3 store at {endpoint}, or correct MLFLOW_S3_ENDPOINT_URL"
        return failed("artifacts", f"the S3 store {endpoint} does not answer: {why}", fix)
    return None


def _fix(here: FolderSettings, reason: str, config: MLflowConfig) -> str:
    if "database schema" in reason:
        return f"back up the database, then: mlflow db upgrade {config.shown}"
    if "(403)" in reason:
        return f"ask the server's admin for EDIT on the experiment {config.experiment_name}"
    return here.server_command("logs") if here.server_kind else "the server's own log says why"


def _fix_artifacts(here: FolderSettings, config: MLflowConfig) -> str:
    location = config.artifact_location or ""
    if location and "://" not in location.replace("file://", ""):
        folder = location.removeprefix("file://")
        return f"make room, and check who may write there: df -h {folder}; ls -ld {folder}"
    bucket = _s3(here, config)
    if bucket is not None:
        return f"create the bucket of {bucket}, or correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    if here.server_kind:
        status, logs = here.server_command("status"), here.server_command("logs")
        return f"make room where the server keeps artifacts ({status}); {logs} says more"
    return "the server keeps them: its own log says why, and `df -h` there shows whether its disk is full"
