"""A record -> its MLflow run. Live logging and later syncing are this one projection, and it may be done twice."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dspytrack.config.keys import flat
from dspytrack.record.checksum import sha256_of
from dspytrack.record.info import RunInfo, TrackingInfo
from dspytrack.record.recover import result_so_far
from dspytrack.record.store import INPUTS, Record, now
from dspytrack.results.mlflow_names import LONGEST_TAG, names_of, storable
from dspytrack.results.values import OptimizationResult
from dspytrack.tracking.client import connected
from dspytrack.tracking.config import MLflowConfig

if TYPE_CHECKING:
    from mlflow import MlflowClient

T = TypeVar("T")
RUN_TAG = "dspytrack.run_id"
STATUSES = {"completed": "FINISHED", "budget_reached": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}
LATE_SECONDS = 15.0  # after which a slow server has made the run that it was asked for, or never will
AT_ONCE_SECONDS = 1.0
_TABLES = json.dumps([{"path": "evaluation.json", "type": "table"}])
_PARAM_LIMIT = 6000
_BATCH = 100  # params or tags in one request


def begin(record: Record, config: MLflowConfig) -> str:
    """Create the record's MLflow run as RUNNING, with its params, tags and inputs, or set it running again.

    Returns:
        The MLflow run id.

    Raises:
        UnreachableError: where the store does not answer.
    """
    with connected(config) as client:
        run_id = _find_or_create(client, record, config, running=True)
        _send_artifacts(client, run_id, record, [record.artifacts / name for name in INPUTS])
        return run_id


def publish(record: Record, config: MLflowConfig) -> str:
    """Send all of a record and end its run with the status it had. Doing it twice gives the same run.

    Returns:
        The MLflow run id.

    Raises:
        UnreachableError: where the store does not answer.
    """
    with connected(config) as client:
        run_id = _find_or_create(client, record, config, running=False)
        _send_result(client, run_id, record)
        record.update_tracking(version_sent=_version(record))
        return run_id


def is_sent(record: Record, config: MLflowConfig) -> bool:
    """Whether a record, as it is now, has reached a store."""
    known = record.tracking
    return known.tracking_uri == config.shown and known.version_sent == _version(record)


def _version(record: Record) -> str:
    """What a record holds of its run, as a checksum; its own MLflow ids left out.

    The attempt counts: each sets the MLflow run running again, so each has to be sent, even where nothing else differs.
    """
    result, attempts = record.result, record.info.attempts
    own = {"mlflow_run_id", "run_id", "tracking_uri", "tracking_error"}
    text = "" if result is None else result.model_dump_json(exclude=own)
    return hashlib.sha256(f"{attempts}\n{text}".encode()).hexdigest()


def _find_or_create(client: MlflowClient, record: Record, config: MLflowConfig, running: bool) -> str:
    name = (record.request.get("tracking") or {}).get("experiment_name") or config.experiment_name
    run_id = _known_run(client, record.tracking, config)
    if run_id is None:
        experiment_id = _experiment(client, name, config)
        run_id = _created_before(client, experiment_id, record, config) or _create(
            client, experiment_id, record, config
        )
        record.start_tracking(tracking_uri=config.shown, experiment=name, mlflow_run_id=run_id)
        _send_params(client, run_id, record)
        record.update_tracking(params_sent=True)
    if running:
        client.update_run(run_id, status="RUNNING")
    return run_id


def _known_run(client: MlflowClient, known: TrackingInfo, config: MLflowConfig) -> str | None:
    """The MLflow run that a record was projected to, where it is still there."""
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
        except MlflowException as error:  # another run made it meanwhile
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
    raise RuntimeError(f"experiment {name} is neither there nor can it be made")


def _created_before(client: MlflowClient, experiment_id: str, record: Record, config: MLflowConfig) -> str | None:
    """The MLflow run that bears the record's tag; one that a slow server was asked for a moment ago may still come."""
    known = record.tracking
    asked = (known.asked_at or 0.0) if known.tracking_uri == config.shown else 0.0
    while True:
        found = client.search_runs([experiment_id], f"tags.`{RUN_TAG}` = '{record.run_id}'", max_results=1)
        if found or not 0 <= now() - asked < LATE_SECONDS:
            return str(found[0].info.run_id) if found else None
        time.sleep(0.5)


def _create(client: MlflowClient, experiment_id: str, record: Record, config: MLflowConfig) -> str:
    """A new MLflow run. That it was asked for is noted first: where no answer comes, it may be there all the same."""
    info, asked_at = record.info, now()
    record.start_tracking(tracking_uri=config.shown, asked_at=asked_at)
    try:
        return _created(client, experiment_id, record.run_id, info)
    except Exception:
        if now() - asked_at < AT_ONCE_SECONDS:  # the server refused it, or is not there
            record.update_tracking(asked_at=None)
        raise


def _created(client: MlflowClient, experiment_id: str, record_id: str, info: RunInfo) -> str:
    tags, started = _own_tags(info) | {RUN_TAG: record_id}, int(info.started_at * 1000)
    return str(client.create_run(experiment_id, started, tags, info.run_name).info.run_id)


def _own_tags(info: RunInfo) -> dict[str, str]:
    """The tags that a run has from its start, by the names MLflow takes; none of them is one of MLflow's own."""
    tags = {re.sub(r"^mlflow\.", "_mlflow.", key): value for key, value in info.tags.items()}
    return {name: str(tags[key])[:LONGEST_TAG] for key, name in names_of(tags).items()}


def params_of(record: Record) -> dict[str, str]:
    """The whole resolved request, flat, and the optimizers' own arguments, by the names MLflow takes."""
    values = dict(flat(record.request)) | dict(flat(record.info.params))
    return {name: _param(values[key]) for key, name in names_of(values).items()}


def _send_params(client: MlflowClient, run_id: str, record: Record) -> None:
    from mlflow.entities import Param

    there = client.get_run(run_id).data.params  # of an attempt whose sending was cut off; MLflow changes no param
    params = [Param(name, value) for name, value in params_of(record).items() if name not in there]
    for batch in _batches(params, _BATCH):
        client.log_batch(run_id, params=batch)


def _send_artifacts(client: MlflowClient, run_id: str, record: Record, files: Iterable[Path]) -> None:
    """Send those files that are not there yet as they are now; which those are is kept beside the run's id."""
    sent = dict(record.tracking.files_sent)
    try:
        for path in files:
            name = path.relative_to(record.artifacts)
            digest = sha256_of(path) if path.is_file() else ""
            if digest and sent.get(name.as_posix()) != digest:
                folder = name.parent.as_posix()
                client.log_artifact(run_id, str(path), None if folder == "." else folder)
                sent[name.as_posix()] = digest
    finally:
        record.update_tracking(files_sent=sent)


def _send_result(client: MlflowClient, run_id: str, record: Record) -> None:
    from mlflow.entities import Metric, RunTag

    if not record.tracking.params_sent:
        _send_params(client, run_id, record)
    result = record.result
    status = "interrupted" if result is None else result.status
    info = record.info
    ended, started = int((info.ended_at or record.last_written) * 1000), int(info.started_at * 1000)
    metrics = [Metric("validation_score", one.score, started, one.step) for one in record.candidates() if one.whole]
    tags: dict[str, Any] = {"status": status}
    if result is not None:
        tags |= result_tags(result) | {"mlflow.loggedArtifacts": _TABLES}
    found = (result_so_far(record) if result is None else result).metrics()
    metrics += [Metric(name, value, ended, 0) for name, value in found.items()]
    if info.attempts > 1:
        tags = _changed_tags(record) | tags
        there = client.get_run(run_id).data.tags  # what an earlier attempt ended with is over
        for key in (key for key, value in tags.items() if value is None and key in there):
            client.delete_tag(run_id, key)
    sent = [RunTag(key, str(value)[:LONGEST_TAG]) for key, value in tags.items() if value is not None]
    for some in _batches(sent, _BATCH):
        client.log_batch(run_id, tags=some)
    for batch in _batches(metrics, 900):
        client.log_batch(run_id, metrics=batch)
    _send_artifacts(client, run_id, record, sorted(record.artifacts.rglob("*")))
    client.set_terminated(run_id, STATUSES[status], ended)


def _changed_tags(record: Record) -> dict[str, Any]:
    """The tags of a request that changed between two attempts, None for one that is gone, and what has changed."""
    changes = record.info.changes
    if not changes:
        return {}
    prefix = "tracking.tags."
    before = {key[len(prefix) :] for one in changes for key in one.keys if key.startswith(prefix)}
    gone = {storable(key): None for key in before}
    shown = json.dumps([one.model_dump(mode="json", fallback=str) for one in changes], ensure_ascii=False)
    return gone | _own_tags(record.info) | {"request_changes": shown}


def result_tags(result: OptimizationResult) -> dict[str, str | None]:
    """What a result says in words, by tag; None where it says nothing."""
    return {
        "verdict": result.verdict,
        "verdict_reason": result.reason or None,
        "error": result.error,
        "unknown": json.dumps(result.unknown) if result.unknown else None,
        "min_improvement_threshold_met": None if result.threshold_met is None else str(result.threshold_met).lower(),
        "target_reached": json.dumps(result.target_reached) if result.target_reached else None,
    }


def _param(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text[:_PARAM_LIMIT]


def _batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
