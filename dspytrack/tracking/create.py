"""The MLflow run of a record: found where it is there already, else created, once however often that is tried."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from dspytrack.record.info import RunInfo, TrackingInfo
from dspytrack.record.store import Record, now
from dspytrack.tracking.config import MLflowConfig
from dspytrack.tracking.fields import start_tags
from dspytrack.tracking.run_ids import RUN_TAG, find_tagged

if TYPE_CHECKING:
    from mlflow import MlflowClient

LATE_SECONDS = 15.0  # after which a slow server has created the run that it was asked for, or never will
AT_ONCE_SECONDS = 1.0  # an error this soon is an answer, not a lost one


def find_or_create(client: MlflowClient, record: Record, config: MLflowConfig) -> str:
    """The id of a record's MLflow run; the record keeps it."""
    name = (record.request.get("tracking") or {}).get("experiment_name") or config.experiment_name
    run_id = _known(client, record.tracking, config)
    if run_id is None:
        experiment_id = _experiment(client, name, config)
        run_id = _created_before(client, experiment_id, record, config)
        run_id = run_id or _create(client, experiment_id, record, config)
        record.start_tracking(tracking_uri=config.shown, experiment=name, mlflow_run_id=run_id)
    return run_id


def _known(client: MlflowClient, known: TrackingInfo, config: MLflowConfig) -> str | None:
    """The MLflow run that the record names, where it is still there."""
    from mlflow.exceptions import MlflowException

    if known.tracking_uri != config.shown or known.mlflow_run_id is None:
        return None
    try:
        run = client.get_run(known.mlflow_run_id)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
    return None if run.info.lifecycle_stage == "deleted" else str(run.info.run_id)


def _experiment(client: MlflowClient, name: str, config: MLflowConfig) -> str:
    from mlflow.exceptions import MlflowException

    for _ in range(2):
        found = client.get_experiment_by_name(name)
        if found is not None:
            if found.lifecycle_stage == "deleted":
                client.restore_experiment(found.experiment_id)
            return str(found.experiment_id)
        try:
            return str(client.create_experiment(name, artifact_location=config.artifact_location))
        except MlflowException as error:  # another run created it meanwhile
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
    raise RuntimeError(f"experiment {name} can neither be found nor created")


def _created_before(client: MlflowClient, experiment_id: str, record: Record, config: MLflowConfig) -> str | None:
    """The run that has the record's tag; where a slow server was asked for it a moment ago, it may still come."""
    known = record.tracking
    asked = (known.asked_at or 0.0) if known.tracking_uri == config.shown else 0.0
    while True:
        found = find_tagged(client, [experiment_id], record.run_id)
        if found is not None or not 0 <= now() - asked < LATE_SECONDS:
            return found
        time.sleep(0.5)


def _create(client: MlflowClient, experiment_id: str, record: Record, config: MLflowConfig) -> str:
    """A new run. That it was asked for is written first: where no answer comes, the run may be there all the same."""
    info, asked_at = record.info, now()
    record.start_tracking(tracking_uri=config.shown, asked_at=asked_at)
    try:
        return _created(client, experiment_id, record.run_id, info)
    except Exception:
        if now() - asked_at < AT_ONCE_SECONDS:  # the server refused it, or is not there
            record.update_tracking(asked_at=None)
        raise


def _created(client: MlflowClient, experiment_id: str, record_id: str, info: RunInfo) -> str:
    tags, started = start_tags(info) | {RUN_TAG: record_id}, int(info.started_at * 1000)
    return str(client.create_run(experiment_id, started, tags, info.run_name).info.run_id)
