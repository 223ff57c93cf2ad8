"""What a run does with the store: its experiment, its artifacts, the registry, each tried for real."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlparse

from dspytrack.doctor.check import Check, Place, broken, failed, passed, skipped
from dspytrack.errors import DspytrackError
from dspytrack.tracking import selftest
from dspytrack.tracking.config import MLflowConfig


def experiment(place: Place) -> Iterator[Check]:
    """A run can be written to the experiment, read back and deleted."""
    config = place.config
    assert config is not None
    if _not_there_yet(config):
        yield skipped("experiment", "the first run makes the database")
        return
    try:
        found = selftest.try_run(config)
    except DspytrackError as error:
        yield broken("experiment", error, _mend(place, str(error), config))
        return
    how = "a run was written, read and deleted"
    if found.is_left:
        how = "a run was written and read; this login may not delete it: dspytrack-doctor stays, and is used again"
    if found.is_configured:
        yield passed("experiment", f"{found.experiment}: {how}")
    else:
        yield passed("experiment", f"{config.experiment_name} is made by the first run; {how} in {found.experiment}")


def artifacts(place: Place) -> Iterator[Check]:
    """An artifact can be written, read back and deleted, wherever artifacts go."""
    config = place.config
    assert config is not None
    if _not_there_yet(config):
        yield skipped("artifacts", "the first run makes the database")
        return
    silent = _silent_s3(place, config)
    if silent is not None:
        yield silent
        return
    try:
        found = selftest.try_artifacts(config)
    except DspytrackError as error:
        yield broken("artifacts", error, _mend_artifacts(place, config))
        return
    where = found.artifact_uri.rpartition("/artifacts")[0].rpartition("/")[0]
    through = " through the server" if where.startswith("mlflow-artifacts:") else ""
    how = "read; this login may not delete it" if found.is_left else "read and deleted"
    yield passed("artifacts", f"one was written, {how}{through} ({where})")


def registry(place: Place) -> Iterator[Check]:
    """The registry answers, where it is not the tracking server."""
    config = place.config
    assert config is not None
    if config.registry_uri is None or config.registry_uri == config.tracking_uri:
        yield skipped("registry", "it is the tracking server")
        return
    try:
        as_store = config.model_copy(update={"tracking_uri": config.registry_uri})
        if not _not_there_yet(as_store):
            selftest.check_registry(as_store)
        yield passed("registry", f"{place.without_secrets(config.registry_uri)} answers")
    except DspytrackError as error:
        yield broken("registry", error, "correct MLFLOW_REGISTRY_URI, or start the server there")


def _not_there_yet(config: MLflowConfig) -> bool:
    found = re.match(r"sqlite:///(.+)", config.tracking_uri)
    return found is not None and not Path(found.group(1)).exists()


def _s3(place: Place, config: MLflowConfig) -> str | None:
    """The S3 place where artifacts go, by the client itself or by this folder's server; None where they do not."""
    location = config.artifact_location
    if location is None and place.server_kind and not place.value("MLFLOW_SERVER_WITH_S3"):
        location = place.value("MLFLOW_ARTIFACTS_DESTINATION")
    return location if location and location.startswith("s3:") else None


def _silent_s3(place: Place, config: MLflowConfig) -> Check | None:
    """An S3 store that this machine cannot connect to: its client by itself would try for minutes."""
    endpoint = place.value("MLFLOW_S3_ENDPOINT_URL")
    if endpoint is None or _s3(place, config) is None:
        return None
    at = urlparse(endpoint)
    try:
        socket.create_connection((at.hostname or "", at.port or (443 if at.scheme == "https" else 80)), 4).close()
    except OSError as error:
        why = error.strerror or str(error)
        mend = f"start the S3 store at {endpoint}, or correct MLFLOW_S3_ENDPOINT_URL"
        return failed("artifacts", f"the S3 store {endpoint} does not answer: {why}", mend)
    return None


def _mend(place: Place, reason: str, config: MLflowConfig) -> str:
    if "database schema" in reason:
        return f"back up the database, then: mlflow db upgrade {config.shown}"
    if "(403)" in reason:
        return f"ask the server's admin for EDIT on the experiment {config.experiment_name}"
    return place.server("logs") if place.server_kind else "the server's own log says why"


def _mend_artifacts(place: Place, config: MLflowConfig) -> str:
    location = config.artifact_location or ""
    if location and "://" not in location.replace("file://", ""):
        folder = location.removeprefix("file://")
        return f"make room and see who may write there: df -h {folder}; ls -ld {folder}"
    bucket = _s3(place, config)
    if bucket is not None:
        return f"make the bucket of {bucket}, or correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    if place.server_kind:
        return (
            f"make room where the server keeps artifacts ({place.server('status')}); {place.server('logs')} says more"
        )
    return "the server keeps them: its own log says why, and `df -h` there whether its disk is full"
