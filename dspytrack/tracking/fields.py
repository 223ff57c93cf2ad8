"""A record's params, tags and metrics by the names and in the form that MLflow stores. Nothing is sent from here.

`export.py` sends them; the run view shows the same ones where no server is asked.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from dspytrack.config.keys import flat
from dspytrack.record.info import RunInfo
from dspytrack.record.store import Record
from dspytrack.results.mlflow_names import LONGEST_TAG, names_of, storable
from dspytrack.results.values import OptimizationResult

STATUSES = {"completed": "FINISHED", "budget_reached": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}
"""MLflow's status for each of ours."""
_TABLES = json.dumps([{"path": "evaluation.json", "type": "table"}])
_LONGEST_PARAM = 6000
_USER_TAG = "tracking.tags."


class Point(NamedTuple):
    """A metric's value at a time (seconds since 1970) and step."""

    name: str
    value: float
    at: float
    step: int


def params_of(record: Record) -> dict[str, str]:
    """The whole resolved request, flat, and the optimizers' own arguments."""
    values = dict(flat(record.request)) | dict(flat(record.info.params))
    return {name: _as_param(values[key]) for key, name in names_of(values).items()}


def start_tags(info: RunInfo) -> dict[str, str]:
    """The tags that a run has from its start; none of them is one of MLflow's own."""
    tags = {re.sub(r"^mlflow\.", "_mlflow.", key): value for key, value in info.tags.items()}
    return {name: str(tags[key])[:LONGEST_TAG] for key, name in names_of(tags).items()}


def end_tags(info: RunInfo, result: OptimizationResult) -> dict[str, str | None]:
    """The tags that a run gets at the end of an attempt; None for one that it must not have any more."""
    tags = {"status": result.status} | result_tags(result)
    if result.comparison is not None:
        tags["mlflow.loggedArtifacts"] = _TABLES
    if info.attempts > 1:
        tags = _changed_tags(info) | tags
    return {key: value if value is None else value[:LONGEST_TAG] for key, value in tags.items()}


def result_tags(result: OptimizationResult) -> dict[str, str | None]:
    """What a result says besides its metrics; None where it says nothing."""
    return {
        "verdict": result.verdict,
        "verdict_reason": result.reason or None,
        "error": result.error,
        "unknown": json.dumps(result.unknown) if result.unknown else None,
        "min_improvement_threshold_met": None if result.threshold_met is None else str(result.threshold_met).lower(),
        "target_reached": json.dumps(result.target_reached) if result.target_reached else None,
    }


def points_of(info: RunInfo, result: OptimizationResult, ended_at: float) -> list[Point]:
    """A run's metrics as they are logged: each once at its end, and the validation score of each candidate."""
    scored = [one for one in result.candidates if one.whole]
    points = [Point("validation_score", one.score, info.started_at, one.step) for one in scored]
    return points + [Point(name, value, ended_at, 0) for name, value in result.metrics().items()]


def _changed_tags(info: RunInfo) -> dict[str, str | None]:
    """The user's tags where the request changed between two attempts, and what changed."""
    if not info.changes:
        return {}
    changed = [key.removeprefix(_USER_TAG) for one in info.changes for key in one.keys if key.startswith(_USER_TAG)]
    shown = json.dumps([one.model_dump(mode="json", fallback=str) for one in info.changes], ensure_ascii=False)
    return {storable(key): None for key in changed} | start_tags(info) | {"request_changes": shown}


def _as_param(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text[:_LONGEST_PARAM]
