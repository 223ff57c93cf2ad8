"""OptimizationPipeline: the public face of a run, for the command line and for Python alike.

Plans the run, opens its record, names who listens to it, and lets `runs/execute.py` do the work.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dspytrack.config.schema import OptimizationRequest
from dspytrack.errors import ChangedError
from dspytrack.record.store import RUNS_DIR, Record
from dspytrack.results.values import OptimizationResult, PerformanceMetrics
from dspytrack.runs.events import Listener, Note
from dspytrack.runs.interrupt import Cancellation
from dspytrack.runs.recorder import Recorder

if TYPE_CHECKING:
    from dspytrack.runs.plan import Plan
    from dspytrack.tracking.config import MLflowConfig
    from dspytrack.tracking.live import LiveRun

_ONE_AT_A_TIME = threading.Lock()  # protects what is the process's own: stdout, DSPy's settings and how it makes calls
Stated = PerformanceMetrics | Mapping[str, float]


class OptimizationPipeline:
    """Runs optimization requests, each as a record first and an MLflow run second."""

    def __init__(
        self,
        mlflow_config: MLflowConfig | None = None,
        enable_tracking: bool = True,
        *,
        listener: Listener | None = None,
        runs_dir: Path = RUNS_DIR,
    ) -> None:
        """Args:
        mlflow_config: where runs are tracked; from `.env.mlflow` and the environment by default.
        enable_tracking: False to keep the record and send nothing.
        listener: called with each event of a run, see `dspytrack.runs.events`.
        runs_dir: where records are kept.
        """
        self._config = mlflow_config
        self._tracked = enable_tracking
        self._listener = listener
        self._runs_dir = runs_dir

    async def run_optimization(
        self,
        request: OptimizationRequest,
        baseline_metrics: Stated | None = None,
        training_data: Sequence[Mapping[str, Any]] | None = None,
    ) -> OptimizationResult:
        """As `run`, awaited; where the awaiting task is cancelled, the run ends as interrupted."""
        cancellation = Cancellation()
        try:
            return await asyncio.to_thread(
                self.run, request, baseline_metrics, training_data, cancellation=cancellation
            )
        except asyncio.CancelledError:
            cancellation.now()
            raise

    def run(
        self,
        request: OptimizationRequest,
        baseline_metrics: Stated | None = None,
        training_data: Sequence[Mapping[str, Any]] | None = None,
        *,
        resume: str | None = None,
        allow_changes: bool = False,
        cancellation: Cancellation | None = None,
    ) -> OptimizationResult:
        """Run one optimization, or resume one.

        Args:
            request: what to do.
            baseline_metrics: stated by the caller; kept as params, compared with what is measured.
            training_data: examples instead of the request's dataset files; divided by `dataset.split`.
            resume: the id of the run to resume, or "newest": the newest unfinished one of the same config file.
            allow_changes: start a new run where the one to resume was started with something else.
            cancellation: by which another thread may end the run as interrupted.

        Raises:
            ConfigError: for a mistake in the request; nothing was spent.
            UsageError: where the run cannot be resumed.
        """
        from dspytrack.runs.execute import execute
        from dspytrack.runs.plan import make_plan
        from dspytrack.runs.process_state import kept_process_state

        with _ONE_AT_A_TIME, kept_process_state():
            plan = make_plan(request, training_data)
            if cancellation is not None:
                cancellation.ends(plan.meter)
            stated = _stated(baseline_metrics)
            record = self._open(plan, stated, resume, allow_changes)
            record.update_info(tracked=self._tracked)
            live = self._live_run(record)
            result = execute(plan, record, self._listeners(record, live), stated)
            return result if live is None else live.with_tracking(result)

    def _open(self, plan: Plan, stated: Mapping[str, float], resume: str | None, allow_changes: bool) -> Record:
        from dspytrack.runs.resume import reopen
        from dspytrack.runs.start import start_record

        if resume is not None:
            try:
                return reopen(plan, self._runs_dir, resume, self._note)
            except ChangedError as refusal:
                if not allow_changes:
                    raise
                self._note(f"{refusal.summary}; starting a new run")
        return start_record(plan, self._runs_dir, stated)

    def _live_run(self, record: Record) -> LiveRun | None:
        from dspytrack.tracking.config import MLflowConfig
        from dspytrack.tracking.live import LiveRun

        return LiveRun(record, self._config or MLflowConfig.load()) if self._tracked else None

    def _listeners(self, record: Record, live: LiveRun | None) -> list[Listener]:
        """In the order in which they need each other: the report is in the record, and the record is what is sent."""
        from dspytrack.reports.html import ReportWriter

        listeners: list[Listener] = [ReportWriter(record), Recorder(record)]
        listeners += [live] if live is not None else []
        return listeners + ([self._listener] if self._listener is not None else [])

    def _note(self, message: str) -> None:
        if self._listener is not None:
            self._listener(Note(message))


def _stated(given: Stated | None) -> dict[str, float]:
    values = given.model_dump() if isinstance(given, PerformanceMetrics) else dict(given or {})
    return {name: value for name, value in values.items() if value is not None}
