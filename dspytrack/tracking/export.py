"""Sends a record to its MLflow run, while it runs or later: the same code, and sending twice gives the same run.

What is sent is said by `fields.py`, which run it goes to by `create.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dspytrack.record.checksum import sha256_of
from dspytrack.record.info import RunInfo
from dspytrack.record.recover import result_so_far
from dspytrack.record.store import INPUTS, Record
from dspytrack.results.values import OptimizationResult
from dspytrack.tracking import fields
from dspytrack.tracking.client import connected
from dspytrack.tracking.config import MLflowConfig
from dspytrack.tracking.create import find_or_create

if TYPE_CHECKING:
    from mlflow import MlflowClient

T = TypeVar("T")
_BATCH = 100  # params or tags in one request
_METRICS_BATCH = 900


def begin(record: Record, config: MLflowConfig) -> str:
    """Create the record's MLflow run as RUNNING, with its params, tags and inputs, or set it running again.

    Returns:
        The MLflow run id.

    Raises:
        UnreachableError: where the store does not answer.
    """
    with connected(config) as client:
        run_id = find_or_create(client, record, config)
        _send_params(client, run_id, record)
        client.update_run(run_id, status="RUNNING")
        _send_artifacts(client, run_id, record, [record.artifacts / name for name in INPUTS])
        return run_id


def publish(record: Record, config: MLflowConfig) -> str:
    """Send all of a record and end its run with the status it had.

    Returns:
        The MLflow run id.

    Raises:
        UnreachableError: where the store does not answer.
    """
    with connected(config) as client:
        run_id = find_or_create(client, record, config)
        info, result = record.info, record.result or result_so_far(record)
        ended_at = info.ended_at or record.last_written
        _send_params(client, run_id, record)
        _send_tags(client, run_id, info, result)
        _send_metrics(client, run_id, fields.points_of(info, result, ended_at))
        _send_artifacts(client, run_id, record, sorted(record.artifacts.rglob("*")))
        client.set_terminated(run_id, fields.STATUSES[result.status], _milliseconds(ended_at))
        record.update_tracking(version_sent=_version(record))
        return run_id


def is_sent(record: Record, config: MLflowConfig) -> bool:
    """Whether a record, as it is now, has reached a store."""
    known = record.tracking
    return known.tracking_uri == config.shown and known.version_sent == _version(record)


def _version(record: Record) -> str:
    """A checksum of what a record holds of its run, its ids left out.

    The attempt counts: each sets the MLflow run running again, so each has to be sent, even where nothing else differs.
    """
    result, attempts = record.result, record.info.attempts
    own = {"record_id", "run_id", "mlflow_run_id", "tracking_uri", "tracking_error"}
    text = "" if result is None else result.model_dump_json(exclude=own)
    return hashlib.sha256(f"{attempts}\n{text}".encode()).hexdigest()


def _send_params(client: MlflowClient, run_id: str, record: Record) -> None:
    """Send the params that are not there yet: MLflow changes none that it has."""
    from mlflow.entities import Param

    if record.tracking.params_sent:
        return
    there = client.get_run(run_id).data.params  # of an attempt whose sending was cut off
    params = [Param(name, value) for name, value in fields.params_of(record).items() if name not in there]
    for batch in _batches(params, _BATCH):
        client.log_batch(run_id, params=batch)
    record.update_tracking(params_sent=True)


def _send_tags(client: MlflowClient, run_id: str, info: RunInfo, result: OptimizationResult) -> None:
    """Set the tags of the attempt's end, and remove what an earlier attempt ended with."""
    from mlflow.entities import RunTag

    tags = fields.end_tags(info, result)
    if info.attempts > 1:
        there = client.get_run(run_id).data.tags
        for key in (key for key, value in tags.items() if value is None and key in there):
            client.delete_tag(run_id, key)
    for batch in _batches([RunTag(key, value) for key, value in tags.items() if value is not None], _BATCH):
        client.log_batch(run_id, tags=batch)


def _send_metrics(client: MlflowClient, run_id: str, points: Sequence[fields.Point]) -> None:
    from mlflow.entities import Metric

    metrics = [Metric(one.name, one.value, _milliseconds(one.at), one.step) for one in points]
    for batch in _batches(metrics, _METRICS_BATCH):
        client.log_batch(run_id, metrics=batch)


def _send_artifacts(client: MlflowClient, run_id: str, record: Record, files: Iterable[Path]) -> None:
    """Send those files that are not there yet as they are now; the record keeps which those are."""
    sent = dict(record.tracking.files_sent)
    try:
        for path in files:
            name = path.relative_to(record.artifacts)
            checksum = sha256_of(path) if path.is_file() else ""
            if checksum and sent.get(name.as_posix()) != checksum:
                folder = name.parent.as_posix()
                client.log_artifact(run_id, str(path), None if folder == "." else folder)
                sent[name.as_posix()] = checksum
    finally:
        record.update_tracking(files_sent=sent)


def _batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
