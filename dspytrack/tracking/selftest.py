"""Tries a store as a run would use it, and leaves nothing: what `dspytrack doctor` asks of MLflow.

A trial needs a run. It is made in the configured experiment, or in one of doctor's own where that is not there yet,
and deleted again. MLflow keeps what is deleted until its `gc`, and lets only some logins delete; the next trial from
the same folder takes the run up again, so that there is one at most.
"""

from __future__ import annotations

import hashlib
import os
import socket
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlparse

from dspytrack.errors import UnreachableError
from dspytrack.tracking.client import connected
from dspytrack.tracking.config import MLflowConfig
from dspytrack.tracking.errors import is_forbidden

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

SECONDS = 4  # that a request may take
_TAG = "dspytrack.trial"
_TEXT = "written by dspytrack doctor"


class Answer(NamedTuple):
    """What a server answered to a GET; `date` is its clock, where it told."""

    code: int
    text: str
    date: datetime | None


@dataclass(frozen=True)
class Trial:
    """What a trial found: the experiment it ran in, whether that is the configured one, where its artifacts are.

    `is_left` where this login may write runs and not delete them.
    """

    experiment: str
    is_configured: bool
    artifact_uri: str
    is_left: bool = False


def be_impatient() -> None:
    """Let this process's requests fail after a few seconds, at the first try."""
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = str(SECONDS)


def ask(config: MLflowConfig, path: str) -> Answer:
    """GET a path of the tracking server with the login, certificate and proxy that a run would use.

    Raises:
        UnreachableError: where nothing answers, or TLS fails.
    """
    with connected(config):
        from mlflow.utils.credentials import get_default_host_creds
        from mlflow.utils.rest_utils import http_request

        creds = get_default_host_creds(config.tracking_uri)
        found = http_request(creds, path, "GET", max_retries=0, timeout=SECONDS, raise_on_status=False)
        told = found.headers.get("Date")
        return Answer(found.status_code, found.text[:2000], parsedate_to_datetime(told) if told else None)


def check_login(config: MLflowConfig) -> None:
    """See that the store lets us look.

    Raises:
        UnreachableError: where it refuses the login or does not answer.
    """
    with connected(config) as client:
        client.search_experiments(max_results=1)


def check_registry(config: MLflowConfig) -> None:
    """See that the registry lets us look.

    Raises:
        UnreachableError: where it refuses the login or does not answer.
    """
    with connected(config) as client:
        client.search_registered_models(max_results=1)


def try_run(config: MLflowConfig) -> Trial:
    """Write a run, read it back, delete it.

    Raises:
        UnreachableError: where one of these fails.
    """

    def work(client: MlflowClient, run: Run) -> bool:
        client.log_metric(run.info.run_id, "trial", 1.0)
        if client.get_run(run.info.run_id).data.metrics.get("trial") != 1.0:
            raise UnreachableError(f"{config.shown}: what was read is not what was written")
        return True

    return _trial(config, work)


def try_artifacts(config: MLflowConfig) -> Trial:
    """Write an artifact, read it back, delete it.

    Raises:
        UnreachableError: where one of these fails.
    """

    def work(_: MlflowClient, run: Run) -> bool:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        store = get_artifact_repository(run.info.artifact_uri, config.tracking_uri)
        with tempfile.TemporaryDirectory() as folder:
            written = Path(folder) / "doctor.txt"
            written.write_text(_TEXT, encoding="utf-8")
            try:
                store.log_artifact(str(written))
                got = Path(store.download_artifacts("doctor.txt", tempfile.mkdtemp(dir=folder)))
                if got.read_text(encoding="utf-8") != _TEXT:
                    raise UnreachableError(f"{config.shown}: the artifact that was read is not the one written")
                return _is_allowed(lambda: store.delete_artifacts("doctor.txt"))
            finally:
                _remove_empty(run.info.artifact_uri)

    return _trial(config, work)


def _trial(config: MLflowConfig, work: Callable[[MlflowClient, Run], bool]) -> Trial:
    """Do some work with a run that is there for so long; the work says whether it left nothing in it."""
    with connected(config) as client:
        experiment = client.get_experiment_by_name(config.experiment_name)
        is_configured = experiment is not None and experiment.lifecycle_stage == "active"
        name = config.experiment_name if is_configured else _own_experiment(config)
        ident = experiment.experiment_id if experiment is not None and is_configured else _made(client, name, config)
        try:
            run = _begun(client, ident)
            try:
                is_clean = work(client, run)
            finally:
                client.set_terminated(run.info.run_id)
                is_deleted = _is_allowed(lambda: client.delete_run(run.info.run_id))
        finally:
            if not is_configured:
                client.delete_experiment(ident)
        return Trial(name, is_configured, run.info.artifact_uri, not (is_clean and is_deleted))


def _begun(client: MlflowClient, experiment_id: str) -> Run:
    from mlflow.entities import ViewType

    here = hashlib.sha256(f"{socket.gethostname()}:{Path.cwd()}".encode()).hexdigest()[:16]
    before = client.search_runs([experiment_id], f"tags.`{_TAG}` = '{here}'", ViewType.ALL, max_results=1)
    if not before:
        return client.create_run(experiment_id, tags={_TAG: here}, run_name="dspytrack-doctor")
    if before[0].info.lifecycle_stage == "deleted":
        client.restore_run(before[0].info.run_id)
    return before[0]


def _is_allowed(delete: Callable[[], None]) -> bool:
    """Delete, unless this login may not; other failures are raised."""
    from mlflow.exceptions import MlflowException
    from requests.exceptions import HTTPError

    try:
        delete()
    except (MlflowException, HTTPError) as error:
        if not is_forbidden(error):
            raise
        return False
    return True


def _own_experiment(config: MLflowConfig) -> str:
    """Doctor's own experiment for an artifact location, which an experiment keeps for good."""
    return f"dspytrack-doctor-{hashlib.sha256((config.artifact_location or '').encode()).hexdigest()[:8]}"


def _made(client: MlflowClient, name: str, config: MLflowConfig) -> str:
    found = client.get_experiment_by_name(name)
    if found is None:
        return str(client.create_experiment(name, artifact_location=config.artifact_location))
    if found.lifecycle_stage != "active":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def _remove_empty(uri: str) -> None:
    """Remove the folders that a trial made on this machine's disk."""
    place = urlparse(uri)
    if place.scheme not in ("", "file"):
        return
    folder = Path(unquote(place.path))
    for one in (folder, folder.parent, folder.parent.parent):
        if one.is_dir() and not any(one.iterdir()):
            one.rmdir()
