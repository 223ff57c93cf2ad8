"""A run as one plain document, whether it comes from MLflow or from its record: what every command prints."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dspytrack.errors import DamagedError, NotFoundError, UnreachableError, UsageError
from dspytrack.record.index import find
from dspytrack.record.recover import result_so_far
from dspytrack.record.store import RUNS_DIR, UNFINISHED, Record
from dspytrack.runs.how_to_resume import resume_command
from dspytrack.tracking.fields import STATUSES, params_of, result_tags
from dspytrack.tracking.run_ids import RUN_TAG

if TYPE_CHECKING:
    from mlflow.entities import Run

    from dspytrack.tracking.query import MLflowTracker

Document = dict[str, Any]


def of_run(run: Run, runs_dir: Path = RUNS_DIR) -> Document:
    """An MLflow run; what the record on this machine knows better is added.

    That is `resume`, how it goes on, and `unsent`, what brings to MLflow that it has ended.
    """
    document: Document = {
        "run_id": run.info.run_id,
        "run_name": run.info.run_name,
        "status": run.info.status,
        "metrics": {name: value if math.isfinite(value) else None for name, value in run.data.metrics.items()},
        "params": dict(run.data.params),
        "tags": dict(run.data.tags),
    }
    tags = document["tags"]
    if RUN_TAG not in tags or (run.info.status == "FINISHED" and "verdict" in tags):
        return document
    try:
        record = Record.open(tags[RUN_TAG], runs_dir)
        state = record.state
        resume = resume_command(record, state)
    except (NotFoundError, DamagedError):
        return document  # another machine's run, or one whose record is lost: whether it lives cannot be known here
    if run.info.status == "RUNNING" and state in STATUSES:
        tags["status"] = state
        if state not in UNFINISHED:
            document["unsent"] = "dspytrack runs sync"
    return document | ({"resume": resume} if resume else {})


def of_record(record: Record) -> Document:
    """A record that may never have reached a server; `run_id` is the record's own.

    `model` is the folder of its program, None where there is none yet.
    """
    info, result, state = record.info, record.result, record.state
    resume = resume_command(record, state)
    known = {} if result is None else result_tags(result)
    model = record.artifacts / "models"
    document: Document = {
        "run_id": record.run_id,
        "run_name": info.run_name,
        "status": STATUSES.get(state, "RUNNING"),
        "metrics": (result_so_far(record) if result is None else result).metrics(),
        "params": params_of(record),
        "tags": {**info.tags, **{k: v for k, v in known.items() if v is not None}, "status": state},
        "mlflow_run_id": record.tracking.mlflow_run_id,
        "record": str(record.folder),
        "model": str(model) if (model / "optimized_model.json").is_file() else None,
    }
    return document | ({"resume": resume} if resume else {})


def of_ref(tracker: MLflowTracker, ref: str, significant: bool = False, runs_dir: Path = RUNS_DIR) -> Document:
    """A run by its id, that of its record, or `best`: as MLflow has it, else as its record on this machine says.

    Raises:
        NotFoundError: where no run qualifies as the best.
        UsageError: where there is no such run.
        UnreachableError: where the store does not answer and there is no record either.
    """
    try:
        record = None if ref == "best" or significant else find(ref, runs_dir)
    except NotFoundError:
        record = None
    if record is None:
        return of_run(tracker.get(ref, significant), runs_dir)
    known = record.tracking
    if known.mlflow_run_id is None or known.tracking_uri != tracker.config.shown:
        return of_record(record)
    try:
        return of_run(tracker.get(known.mlflow_run_id), runs_dir)
    except (UsageError, UnreachableError):  # deleted there, or out of reach: the record has it all
        return of_record(record)
