"""A run as every command shows it, whether it comes from MLflow or from its record."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dspytrack.errors import DamagedError, NotFoundError, UnreachableError, UsageError
from dspytrack.record.index import find
from dspytrack.record.recover import result_so_far
from dspytrack.record.store import RUNS_DIR, UNFINISHED, Record
from dspytrack.results.values import Value
from dspytrack.runs.how_to_resume import resume_command
from dspytrack.tracking.fields import STATUSES, params_of, result_tags
from dspytrack.tracking.run_ids import RUN_TAG

if TYPE_CHECKING:
    from mlflow.entities import Run

    from dspytrack.tracking.query import MLflowTracker


class RunView(Value):
    """One run. A metric is None where MLflow has no finite number; `status` is MLflow's, `tags["status"]` ours.

    `run_id` is MLflow's id, or the record's for a run that is read from its record; `record_id` is None for a run that
    dspytrack did not make. `mlflow_run_id`, `record` (a folder) and `model` (the folder of its program, None where
    there is none yet) belong to runs that are read from their record. `resume` is the command that resumes the run,
    `unsent` the one that sends its end to MLflow.
    """

    run_id: str
    record_id: str | None
    run_name: str | None
    status: str
    metrics: dict[str, float | None]
    params: dict[str, str]
    tags: dict[str, str]
    mlflow_run_id: str | None = None
    record: str | None = None
    model: str | None = None
    resume: str | None = None
    unsent: str | None = None

    @property
    def state(self) -> str:
        """Our status where the run has one, else MLflow's in lower case."""
        return self.tags.get("status", self.status.lower())

    @property
    def verdict(self) -> str | None:
        """The verdict; None for a run without one."""
        return self.tags.get("verdict")

    def to_json(self) -> dict[str, Any]:
        """The run as plain data; fields that were not set are left out."""
        return self.model_dump(mode="json", exclude_unset=True)


def view_of_run(run: Run, runs_dir: Path = RUNS_DIR) -> RunView:
    """An MLflow run, with what its record on this machine knows better: whether it has ended, how to resume it."""
    tags = dict(run.data.tags)
    known: dict[str, str] = {}
    if RUN_TAG in tags and not (run.info.status == "FINISHED" and "verdict" in tags):
        known = _known_here(tags[RUN_TAG], runs_dir, run.info.status == "RUNNING")
    if "status" in known:
        tags["status"] = known.pop("status")
    return RunView(
        run_id=run.info.run_id,
        record_id=tags.get(RUN_TAG),
        run_name=run.info.run_name,
        status=run.info.status,
        metrics={name: value if math.isfinite(value) else None for name, value in run.data.metrics.items()},
        params=dict(run.data.params),
        tags=tags,
        **known,
    )


def _known_here(record_id: str, runs_dir: Path, seems_running: bool) -> dict[str, str]:
    """What a record on this machine adds to its MLflow run: `resume`, `unsent` and the tag `status`."""
    try:
        record = Record.open(record_id, runs_dir)
        state = record.state
        resume = resume_command(record, state)
    except (NotFoundError, DamagedError):
        return {}  # a run of another machine, or one whose record is lost: whether it has ended cannot be known here
    known = {"resume": resume} if resume else {}
    if seems_running and state in STATUSES:
        known["status"] = state
        if state not in UNFINISHED:
            known["unsent"] = "dspytrack runs sync"
    return known


def view_of_record(record: Record) -> RunView:
    """A run as its record says, whether or not it ever reached a server.

    Raises:
        DamagedError: where the record cannot be read.
    """
    info, state = record.info, record.state
    resume = resume_command(record, state)
    result = record.result or result_so_far(record)
    found = {name: value for name, value in result_tags(result).items() if value is not None}
    model = record.artifacts / "models"
    return RunView(
        run_id=record.run_id,
        record_id=record.run_id,
        run_name=info.run_name,
        status=STATUSES.get(state, "RUNNING"),
        metrics=dict(result.metrics()),
        params=params_of(record),
        tags={**info.tags, **found, "status": state},
        mlflow_run_id=record.tracking.mlflow_run_id,
        record=str(record.folder),
        model=str(model) if (model / "optimized_model.json").is_file() else None,
        **({"resume": resume} if resume else {}),
    )


def view_of(tracker: MLflowTracker, ref: str, significant: bool = False) -> RunView:
    """A run by MLflow's id or the record's, or `best`: as MLflow has it, else as its record on this machine says.

    Raises:
        NotFoundError: where no run qualifies as the best.
        UsageError: where there is no such run.
        UnreachableError: where the store does not answer and there is no record either.
    """
    try:
        record = None if ref == "best" or significant else find(ref, tracker.runs_dir)
    except NotFoundError:
        record = None
    if record is None:
        return view_of_run(tracker.get(ref, significant), tracker.runs_dir)
    known = record.tracking
    if known.mlflow_run_id is None or known.tracking_uri != tracker.config.shown:
        return view_of_record(record)
    try:
        return view_of_run(tracker.get(known.mlflow_run_id), tracker.runs_dir)
    except (UsageError, UnreachableError):  # deleted there, or out of reach: the record has all of it
        return view_of_record(record)
