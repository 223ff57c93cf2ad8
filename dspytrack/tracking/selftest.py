"""Self-tests of a store: it is used as a run would use it, and left as it was. `dspytrack doctor` runs them.

A self-test needs a run. It is created in the configured experiment, or in one of doctor's own where that does not
exist yet, and deleted again. MLflow keeps what is deleted until its `gc`, and lets only some logins delete; the next
self-test from the same folder uses the same run again, so that there is one at most.
"""

from __future__ import annotations

import hashlib
import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
    from mlflow.entities import Experiment, Run

SECONDS = 4  # that a request may take
_TAG = "dspytrack.trial"  # as stored by earlier versions, whose runs are used again
_TEXT = "written by dspytrack doctor"


class Answer(NamedTuple):
    """What a server answered to a GET; `date` is its clock, None where it did not say."""

    code: int
    text: str
    date: datetime | None


@dataclass(frozen=True)
class Written:
    """Where a self-test wrote: its experiment, whether that is the configured one, its run's artifacts.

    `is_left` says that something is left, because this login may write and not delete.
    """

    experiment: str
    is_configured: bool
    artifact_uri: str
    is_left: bool = False


def be_impatient() -> None:
    """Make this process's requests to MLflow fail after a few seconds, at the first try."""
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
        date = found.headers.get("Date")
        return Answer(found.status_code, found.text[:2000], parsedate_to_datetime(date) if date else None)


def check_login(config: MLflowConfig) -> None:
    """See that the store can be read.

    Raises:
        UnreachableError: where it refuses the login or does not answer.
    """
    with connected(config) as client:
        client.search_experiments(max_results=1)


def check_registry(config: MLflowConfig) -> None:
    """See that the registry can be read.

    Raises:
        UnreachableError: where it refuses the login or does not answer.
    """
    with connected(config) as client:
        client.search_registered_models(max_results=1)


def try_run(config: MLflowConfig) -> Written:
    """Write a run, read it back, delete it.

    Raises:
        UnreachableError: where one of these fails.
    """

    def work(client: MlflowClient, run: Run) -> bool:
        value = float(int(1000 * time.time()))  # another one than an earlier self-test left in the run
        client.log_metric(run.info.run_id, "self_test", value)
        if client.get_run(run.info.run_id).data.metrics.get("self_test") != value:
            raise UnreachableError(f"{config.shown}: another metric was read than was written")
        return True

    return _in_a_run(config, work)


def try_artifacts(config: MLflowConfig) -> Written:
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
                    raise UnreachableError(f"{config.shown}: another artifact was read than was written")
                return _is_allowed(lambda: store.delete_artifacts("doctor.txt"))
            finally:
                _remove_empty(run.info.artifact_uri)

    return _in_a_run(config, work)


def _in_a_run(config: MLflowConfig, work: Callable[[MlflowClient, Run], bool]) -> Written:
    """Work on a run that exists only for that; the work returns whether it left nothing behind."""
    with connected(config) as client, _experiment(client, config) as experiment:
        run = _create_run(client, experiment.experiment_id)
        try:
            is_clean = work(client, run)
        finally:
            client.set_terminated(run.info.run_id)
            is_deleted = _is_allowed(lambda: client.delete_run(run.info.run_id))
        is_configured = experiment.name == config.experiment_name
        return Written(experiment.name, is_configured, run.info.artifact_uri, not (is_clean and is_deleted))


@contextmanager
def _experiment(client: MlflowClient, config: MLflowConfig) -> Iterator[Experiment]:
    """The configured experiment; where there is none yet, doctor's own, which is deleted again."""
    configured = client.get_experiment_by_name(config.experiment_name)
    if configured is not None and configured.lifecycle_stage == "active":
        yield configured
        return
    name = _own_experiment(config)
    own = client.get_experiment_by_name(name)
    if own is None:
        own = client.get_experiment(client.create_experiment(name, artifact_location=config.artifact_location))
    elif own.lifecycle_stage != "active":
        client.restore_experiment(own.experiment_id)
    try:
        yield own
    finally:
        client.delete_experiment(own.experiment_id)


def _create_run(client: MlflowClient, experiment_id: str) -> Run:
    from mlflow.entities import ViewType

    here = hashlib.sha256(f"{socket.gethostname()}:{Path.cwd()}".encode()).hexdigest()[:16]
    before = client.search_runs([experiment_id], f"tags.`{_TAG}` = '{here}'", ViewType.ALL, max_results=1)
    if not before:
        return client.create_run(experiment_id, tags={_TAG: here}, run_name="dspytrack-doctor")
    if before[0].info.lifecycle_stage == "deleted":
        client.restore_run(before[0].info.run_id)
    return before[0]


def _is_allowed(delete: Callable[[], None]) -> bool:
    """Delete something; False where this login may not, other failures are raised."""
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
    """Doctor's own experiment: one for each artifact location, which an experiment cannot change."""
    return f"dspytrack-doctor-{hashlib.sha256((config.artifact_location or '').encode()).hexdigest()[:8]}"


def _remove_empty(uri: str) -> None:
    """Remove the empty folders that a self-test made on this machine's disk."""
    place = urlparse(uri)
    if place.scheme not in ("", "file"):
        return
    folder = Path(unquote(place.path))
    for one in (folder, folder.parent, folder.parent.parent):
        if one.is_dir() and not any(one.iterdir()):
            one.rmdir()
