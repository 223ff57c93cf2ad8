"""OptimizationPipeline: the story of a run, top to bottom.

Load and check, measure, optimize, measure again, compare, record, publish. Every other room does the work.
"""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dspytrack.config.masking import masked
from dspytrack.config.schema import OptimizationRequest
from dspytrack.errors import ChangedError, RunStop, UnreachableError
from dspytrack.record.store import RUNS_DIR, Record, now
from dspytrack.results.catalogue import usd
from dspytrack.results.values import OptimizationResult, PerformanceMetrics
from dspytrack.runs.events import Progress, Quiet
from dspytrack.runs.interrupt import Cancellation, interruptible

if TYPE_CHECKING:
    from dspytrack.runs.plan import Plan
    from dspytrack.runs.search import Found
    from dspytrack.tracking.config import MLflowConfig

_ONE_AT_A_TIME = threading.Lock()  # protects what is the process's own: stdout, and DSPy's cache and way of calling
Stated = PerformanceMetrics | Mapping[str, float]


class OptimizationPipeline:
    """Runs optimization requests, each as a record first and an MLflow run second."""

    def __init__(
        self,
        mlflow_config: MLflowConfig | None = None,
        enable_tracking: bool = True,
        *,
        progress: Progress | None = None,
        runs_dir: Path = RUNS_DIR,
    ) -> None:
        self._config = mlflow_config
        self._tracked = enable_tracking
        self._progress: Progress = progress or Quiet()
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
        """Run one optimization, or go on with one.

        Args:
            request: what to do.
            baseline_metrics: stated by the caller; kept as params, compared with what is measured.
            training_data: examples instead of the request's dataset files; split by `dataset.split`.
            resume: the id of the run to go on with, or "newest": the newest unfinished one of the same config file.
            allow_changes: start afresh where the run to resume was started with something else.
            cancellation: by which another thread may end the run as interrupted.

        Raises:
            ConfigError: for a mistake in the request; nothing was spent.
            UsageError: where the run cannot be resumed.
        """
        from dspytrack.runs.plan import make_plan

        with _ONE_AT_A_TIME:  # while it is planned, too: a check takes the place of DSPy's cache as a run does
            plan = make_plan(request, training_data)
            if cancellation is not None:
                cancellation.ends(plan.meter)
            stated = _stated(baseline_metrics)
            record = self._open(plan, stated, resume, allow_changes)
            return self._carried_out(plan, record, stated)

    def _carried_out(self, plan: Plan, record: Record, stated: Mapping[str, float]) -> OptimizationResult:
        """One sitting, from opening the record to publishing what is known at its end."""
        from dspytrack.lm.metering.dspy_hooks import metering
        from dspytrack.runs.outcome import cut_off

        with record.locked(), interruptible(plan.meter), _disk_space(record):
            seconds = record.begin_attempt()
            record.repair()
            result = OptimizationResult(run_id=record.run_id, record=str(record.folder), status="failed")
            with self._projected(record) as projection:
                self._progress.started(record, plan)
                for note in _without_effect(plan.request):
                    self._progress.note(note)
                try:
                    with metering(record.responses, plan.meter) as cache:
                        plan.meter.begin_attempt(cache.billed, seconds)
                        if cache.damaged:
                            self._progress.note(
                                f"{record.responses}: {cache.damaged} lines cannot be read; "
                                "what they answered is asked again"
                            )
                        result = self._measured(plan, record, result)
                except RunStop as stop:
                    result = cut_off(result, stop)
                except Exception as error:
                    result = result.model_copy(update={"error": masked(f"{type(error).__name__}: {error}")})
                    self._progress.note(_way_back(record, self._close(record, plan, result, projection)))
                    raise
                for note in _unsettled(plan):
                    self._progress.note(note)
                self._warn_of_stated(result, stated)
                return self._close(record, plan, result, projection)

    def _open(self, plan: Plan, stated: Mapping[str, float], resume: str | None, allow_changes: bool) -> Record:
        from dspytrack.runs.resume import open_new, reopen

        if resume is not None:
            try:
                return reopen(plan, self._runs_dir, resume, self._progress.note)
            except ChangedError as refusal:
                if not allow_changes:
                    raise
                self._progress.note(f"{refusal.summary}; starting afresh")
        return open_new(plan, self._runs_dir, stated)

    def _measured(self, plan: Plan, record: Record, result: OptimizationResult) -> OptimizationResult:
        """Measure, search, measure again, compare; the program that was found is packed."""
        from dspytrack.runs.artifacts import key_improvements, write_evaluation
        from dspytrack.runs.execute import Sitting
        from dspytrack.runs.outcome import compared, finished

        measured = Sitting(plan, record, self._progress).run()
        comparison = compared(plan, measured.baseline, measured.optimized)
        write_evaluation(record, plan, measured.baseline, measured.optimized)
        changes = key_improvements(plan.program, measured.found.program, measured.baseline, measured.optimized)
        result = finished(result, plan, comparison, measured.found.optimizer, measured.stopped)
        result = result.model_copy(update={"key_improvements": changes})
        self._pack(plan, record, measured.found, result)
        return result

    @contextmanager
    def _projected(self, record: Record) -> Iterator[Any]:
        """The run's MLflow projection, begun in the background: a server that is slow or gone holds up nothing."""
        record.update_info(tracked=self._tracked)
        if not self._tracked:
            yield None
            return
        from dspytrack.tracking.config import MLflowConfig
        from dspytrack.tracking.live import LiveRun

        if self._config is None:
            self._config = MLflowConfig.load()
        yield LiveRun(record, self._config)

    def _pack(self, plan: Plan, record: Record, found: Found, result: OptimizationResult) -> None:
        from dspytrack.programs.package import pack

        request = plan.request
        metadata = {
            "run_id": result.run_id,
            "algorithm": found.optimizer,
            "improvement": result.comparison.improvement_percentage if result.comparison else None,
            "verdict": result.verdict,
            "created_at": datetime.now(timezone.utc).isoformat(),
            "dspytrack": record.info.versions,
        }
        resolved = request.resolved()
        spec = {"program": resolved["program"], "lm": resolved["lm"], "inputs": request.dataset.inputs}
        pack(found.program, record.artifacts / "models", "optimized_model", metadata, spec)

    def _close(self, record: Record, plan: Plan, result: OptimizationResult, projection: Any) -> OptimizationResult:
        """Write what is known, then project it to MLflow."""
        from dspytrack.reports.html import write_report

        candidates = record.candidates()
        result = result.model_copy(
            update={
                "candidates": candidates,
                "iterations": len({one.step for one in candidates}),
                "duration_seconds": plan.meter.seconds,
                "usage": plan.meter.usage(),
            }
        )
        record.update_info(ended_at=now(), seconds=plan.meter.seconds)
        record.write_text("artifacts/key_improvements.txt", "\n".join(result.key_improvements) + "\n")
        write_report(record, result)
        record.write("result.json", result)  # with it the run has ended: nothing it needs may come after
        if projection is not None:
            began = now()
            result = projection.finish(result)
            record.write("result.json", result)
            record.update_info(tracking_seconds=now() - began)
        return result

    def _warn_of_stated(self, result: OptimizationResult, stated: Mapping[str, float]) -> None:
        measured = result.comparison.baseline.model_dump() if result.comparison else {}
        for name, value in stated.items():
            found = measured.get(name)
            if found is not None and abs(found - value) > 1e-9 + 0.01 * abs(value):
                self._progress.note(f"baseline {name}: stated {value:g}, measured {found:g}; the measured one is used")


@contextmanager
def _disk_space(record: Record) -> Iterator[None]:
    """A full disk is a thing of the world outside: what was written is whole, and the run can be resumed."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        goes_on = f"optimize CONFIG --resume {record.run_id}" if record.result is None else f"runs show {record.run_id}"
        raise UnreachableError(
            f"{record.folder}: {error.strerror}; free some space and run: dspytrack {goes_on}"
        ) from error


def _way_back(record: Record, result: OptimizationResult) -> str:
    """What of a run that an error ended is kept, and how it goes on."""
    from dspytrack.tracking.run_view import resume_command

    known = result.metrics()
    cost = usd(known.get("total_cost_usd"))
    kept = f"{known.get('total_lm_calls', 0):.0f} LM calls, {cost}, are paid for and kept in {record.folder}"
    return f"{kept}; once the error is mended, go on with: {resume_command(record, result.status)}"


def _without_effect(request: OptimizationRequest) -> Iterator[str]:
    """What the request asks for and this version does not do."""
    if request.registry is not None:
        yield "registry: this version registers no model; the key is kept in the record"
    if "traces" in request.tracking.model_fields_set and request.tracking.traces != "none":
        yield "tracking.traces: this version logs no traces; the key is kept in the record"


def _unsettled(plan: Plan) -> Iterator[str]:
    """Calls of which nobody knows what they are billed."""
    under_way, timed_out = plan.meter.in_flight, plan.meter.total.timed_out
    if under_way:
        yield f"{under_way} LM calls were under way at the end; what they are billed is in no figure"
    if timed_out:
        yield f"{timed_out} LM calls timed out; what the provider may charge for them is in no figure"


def _stated(given: Stated | None) -> dict[str, float]:
    values = given.model_dump() if isinstance(given, PerformanceMetrics) else dict(given or {})
    return {name: value for name, value in values.items() if value is not None}
