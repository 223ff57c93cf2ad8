"""A run as one plain document, whether it comes from MLflow or from its record: what every command prints."""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dspytrack.errors import DamagedError, NotFoundError
from dspytrack.optimization.record import RUNS_DIR, UNFINISHED, Record
from dspytrack.tracking.projection import RUN_TAG, STATUSES

if TYPE_CHECKING:
    from mlflow.entities import Run

Document = dict[str, Any]


def of_run(run: Run, runs_dir: Path = RUNS_DIR) -> Document:
    """An MLflow run; what the record on this machine knows better is added: whether it lives, how it goes on."""
    document: Document = {
        "run_id": run.info.run_id,
        "run_name": run.info.run_name,
        "status": run.info.status,
        "metrics": {name: value if math.isfinite(value) else None for name, value in run.data.metrics.items()},
        "params": dict(run.data.params),
        "tags": dict(run.data.tags),
    }
    if run.info.status == "FINISHED" or RUN_TAG not in run.data.tags:
        return document
    try:
        record = Record.open(run.data.tags[RUN_TAG], runs_dir)
        state = record.state
    except (NotFoundError, DamagedError):
        return document  # another machine's run, or one whose record is lost: whether it lives cannot be known here
    if run.info.status == "RUNNING" and state in STATUSES:
        unsent = f"{state}, not yet in MLflow: dspytrack runs sync"
        document["tags"]["status"] = state if state == "interrupted" else unsent
    if state in UNFINISHED:
        document["resume"] = resume_command(record)
    return document


def resume_command(record: Record) -> str:
    """What to type to go on with a run that was cut off."""
    return f"dspytrack optimize {shlex.quote(record.info.get('config') or 'CONFIG')} --resume {record.run_id}"


def of_record(record: Record) -> Document:
    """A record that may never have reached a server; `run_id` is the record's own."""
    info, result, state = record.info, record.result, record.state
    document: Document = {
        "run_id": record.run_id,
        "run_name": info.get("run_name"),
        "status": STATUSES.get(state, "RUNNING"),
        "metrics": result.metrics() if result is not None else {},
        "params": {},
        "tags": {**(info.get("tags") or {}), "status": state},
        "mlflow_run_id": (record.read("tracking.json") or {}).get("mlflow_run_id"),
    }
    if result is not None and result.verdict is not None:
        document["tags"]["verdict"] = result.verdict
    if state in UNFINISHED:
        document["resume"] = resume_command(record)
    return document
