"""OptimizationPipeline: the story of a run, top to bottom.

Load and check, measure, optimize, measure again, compare, record, publish. Every other room does the work.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from dspytrack.errors import RunStop, UnreachableError
from dspytrack.optimization.record import RUNS_DIR, Record, now
from dspytrack.request import OptimizationRequest
from dspytrack.result import Candidate, OptimizationResult, PerformanceMetrics, Row, Status

if TYPE_CHECKING:
    from dspytrack.optimization.plan import Plan
    from dspytrack.optimization.search import Found
    from dspytrack.tracking.config import MLflowConfig


class Progress(Protocol):
    """Told how a run goes; the command line draws it."""

    def started(self, record: Record, plan: Plan) -> None:
        """The run exists."""

    def phase(self, name: str, total: int | None) -> None:
        """A phase begins, with the number of its examples where that is known."""

    def row(self, row: Row) -> None:
        """An example of a final evaluation is done."""

    def candidate(self, candidate: Candidate) -> None:
        """A candidate was scored."""

    def note(self, message: str) -> None:
        """Something the user should read."""


class Quiet:
    """A Progress that says nothing."""

    def started(self, record: Record, plan: Plan) -> None:
        """Nothing."""

    def phase(self, name: str, total: int | None) -> None:
        """Nothing."""

    def row(self, row: Row) -> None:
        """Nothing."""

    def candidate(self, candidate: Candidate) -> None:
        """Nothing."""

    def note(self, message: str) -> None:
        """Nothing."""


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
        baseline_metrics: PerformanceMetrics | Mapping[str, float] | None = None,
        training_data: Sequence[Mapping[str, Any]] | None = None,
    ) -> OptimizationResult:
        """As `run`, awaited."""
        return await asyncio.to_thread(self.run, request, baseline_metrics, training_data)

    def run(
        self,
        request: OptimizationRequest,
        baseline_metrics: PerformanceMetrics | Mapping[str, float] | None = None,
        training_data: Sequence[Mapping[str, Any]] | None = None,
    ) -> OptimizationResult:
        """Run one optimization.

        Args:
            request: what to do.
            baseline_metrics: stated by the caller; kept as params, compared with what is measured.
            training_data: examples instead of the request's dataset files; parted by `dataset.split`.

        Raises:
            ConfigError: for a mistake in the request; nothing was spent.
            UnreachableError: where the LM cannot be reached; the record is kept.
        """
        from dspytrack.optimization.plan import make_plan

        plan = make_plan(request, training_data)
        record = self._open_record(plan, baseline_metrics)
        mlflow_run_id = self._begin_tracking(record)
        self._progress.started(record, plan)
        result = OptimizationResult(run_id=mlflow_run_id or record.run_id, record=str(record.folder), status="failed")
        try:
            with _stopping(plan):
                result = self._measure_and_search(plan, record, result)
        except RunStop as stop:
            result = _ended(result, plan, record, stop)
        except BaseException as error:
            self._close(record, plan, result.model_copy(update={"error": f"{type(error).__name__}: {error}"}))
            raise
        self._warn_of_stated(result, baseline_metrics)
        return self._close(record, plan, result)

    def _measure_and_search(self, plan: Plan, record: Record, result: OptimizationResult) -> OptimizationResult:
        from dspytrack.optimization.artifacts import key_improvements, write_evaluation
        from dspytrack.optimization.comparison import compare
        from dspytrack.optimization.lm import response_cache

        request = plan.request
        with response_cache(record.cache_dir):
            baseline = self._evaluate(plan, record, "baseline", plan.program)
            self._set_aside(plan)
            found = self._search(plan, record)
            plan.meter.release()
            optimized = self._evaluate(plan, record, "optimized", found.program)
        comparison = compare(
            baseline,
            optimized,
            objectives=request.objectives,
            success_threshold=request.success_threshold,
            alpha=request.significance.alpha,
            max_error_rate=request.evaluation.max_error_rate,
            seed=request.seed,
        )
        write_evaluation(record, plan, baseline, optimized)
        status: Status = "completed" if found.stopped is None else "budget_reached"
        reason = comparison.reason if found.stopped is None else f"{found.stopped}; {comparison.reason}"
        changes = key_improvements(plan.program, found.program, baseline, optimized)
        finished = result.model_copy(
            update={
                "status": status,
                "verdict": comparison.verdict,
                "reason": reason,
                "comparison": comparison,
                "optimizer": found.optimizer,
                "key_improvements": changes,
                "unknown": _unknown(comparison.baseline, comparison.optimized),
                "target_reached": _targets(request, comparison.optimized),
                "threshold_met": comparison.improvement_percentage is not None
                and comparison.improvement_percentage >= request.constraints.min_improvement_threshold,
            }
        )
        self._pack(plan, record, found, finished)
        return finished

    def _evaluate(self, plan: Plan, record: Record, side: str, program: Any) -> list[Row]:
        import dspy

        from dspytrack.optimization.evaluation import evaluate
        from dspytrack.optimization.search import logged

        request = plan.request
        self._progress.phase(side, len(plan.parts.test))

        def keep(row: Row) -> None:
            record.append(f"rows/{side}.jsonl", row)
            self._progress.row(row)

        with logged(record.log_file), dspy.context(lm=plan.lms["task"], adapter=plan.adapter):
            rows = evaluate(
                program,
                plan.parts.test,
                request.dataset.inputs,
                plan.metric,
                num_threads=request.evaluation.num_threads,
                repeats=request.evaluation.repeats,
                namespace=f"{side}:",
                on_row=keep,
            )
        record.sync_to_disk()
        return rows

    def _set_aside(self, plan: Plan) -> None:
        """What the baseline took is kept for the final evaluation."""
        plan.meter.reserve = plan.meter.total
        plan.meter.reserve_seconds = plan.meter.seconds

    def _search(self, plan: Plan, record: Record) -> Found:
        from dspytrack.optimization.search import search

        self._progress.phase("optimization", None)

        def keep(candidate: Candidate) -> None:
            record.append("candidates.jsonl", candidate)
            self._progress.candidate(candidate)

        found = search(plan, record.log_file, keep)
        record.sync_to_disk()
        if found.stopped is not None:
            self._progress.note(f"{found.stopped}; the best program so far is tested now")
        return found

    def _open_record(self, plan: Plan, stated: PerformanceMetrics | Mapping[str, float] | None) -> Record:
        from dspytrack.optimization.artifacts import write_inputs
        from dspytrack.optimization.environment import versions_and_commit

        request, record = plan.request, Record.create(self._runs_dir)
        stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S")
        facts = versions_and_commit(request.base_dir)
        tags = request.tracking.tags | {
            "target_type": request.target.type,
            "target_id": request.target.id,
            "target_scope": request.target.scope,
            "algorithms": ",".join(one.name for one in plan.optimizers),
            "dataset_fingerprint": plan.parts.fingerprint,
            "git_commit": facts["git_commit"] or "unknown",
        }
        given = stated.model_dump() if isinstance(stated, PerformanceMetrics) else dict(stated or {})
        record.write("request.json", request.resolved())
        parts = {n: [item.example_id for item in getattr(plan.parts, n)] for n in ("train", "val", "test")}
        record.write("parts.json", parts)
        record.note(
            run_name=f"opt_{request.target.type}_{request.target.id}_{stamp}",
            started_at=now(),
            tags=tags,
            optimizer_params={f"{one.name}.{k}": v for one in plan.optimizers for k, v in one.arguments.items()}
            | {f"stated_baseline_{name}": value for name, value in given.items() if value is not None},
            **facts,
        )
        write_inputs(record, plan)
        return record

    def _begin_tracking(self, record: Record) -> str | None:
        """Show the run in MLflow while it goes; a server that does not answer costs nothing but a note."""
        if not self._tracked:
            return None
        from dspytrack.tracking import sync

        try:
            return str(sync.begin(record, self._mlflow()))
        except UnreachableError as error:
            self._progress.note(f"not in MLflow: {error}; the run goes on in {record.folder}")
            return None

    def _mlflow(self) -> MLflowConfig:
        from dspytrack.tracking.config import MLflowConfig

        if self._config is None:
            self._config = MLflowConfig.load()
        return self._config

    def _pack(self, plan: Plan, record: Record, found: Found, result: OptimizationResult) -> None:
        from dspytrack.tracking.model import pack

        request = plan.request
        metadata = {
            "run_id": result.run_id,
            "algorithm": found.optimizer,
            "improvement": result.comparison.improvement_percentage if result.comparison else None,
            "verdict": result.verdict,
            "created_at": datetime.now(timezone.utc).isoformat(),
            "dspytrack": record.info.get("versions"),
        }
        resolved = request.resolved()
        spec = {"program": resolved["program"], "lm": resolved["lm"], "inputs": request.dataset.inputs}
        pack(found.program, record.artifacts / "models", "optimized_model", metadata, spec)

    def _close(self, record: Record, plan: Plan, result: OptimizationResult) -> OptimizationResult:
        """Write what is known, then project it to MLflow."""
        from dspytrack.report.html import write_report

        candidates = record.candidates()
        result = result.model_copy(
            update={
                "candidates": candidates,
                "iterations": len(candidates),
                "duration_seconds": plan.meter.seconds,
                "usage": plan.meter.usage(),
            }
        )
        record.note(ended_at=now())
        record.write("result.json", result)
        record.write_text("artifacts/key_improvements.txt", "\n".join(result.key_improvements) + "\n")
        write_report(record, result)
        if not self._tracked:
            return result
        result = self._publish(record, result)
        record.write("result.json", result)
        return result

    def _publish(self, record: Record, result: OptimizationResult) -> OptimizationResult:
        from dspytrack.tracking import sync

        config = self._mlflow()
        try:
            run_id = sync.publish(record, config)
        except UnreachableError as error:
            return result.model_copy(update={"tracking_error": str(error)})
        return result.model_copy(update={"mlflow_run_id": run_id, "run_id": run_id, "tracking_uri": config.shown})

    def _warn_of_stated(
        self, result: OptimizationResult, stated: PerformanceMetrics | Mapping[str, float] | None
    ) -> None:
        if stated is None or result.comparison is None:
            return
        given = stated.model_dump() if isinstance(stated, PerformanceMetrics) else dict(stated)
        measured = result.comparison.baseline.model_dump()
        for name, value in given.items():
            found = measured.get(name)
            if value is not None and found is not None and abs(found - value) > 1e-9 + 0.01 * abs(value):
                self._progress.note(f"baseline {name}: stated {value:g}, measured {found:g}; the measured one is used")


@contextmanager
def _stopping(plan: Plan) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the run at its next LM call; a second Ctrl-C at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: Any) -> None:
        if plan.meter.stopped is not None and plan.meter.stopped.reason == "interrupted":
            raise KeyboardInterrupt
        plan.meter.stop("interrupted", f"interrupted by {signal.Signals(number).name}")

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ended(result: OptimizationResult, plan: Plan, record: Record, stop: RunStop) -> OptimizationResult:
    """The result of a run that ended before its final evaluation."""
    status: Status = {"budget": "budget_reached", "interrupted": "interrupted"}.get(stop.reason, "failed")  # type: ignore[assignment]
    return result.model_copy(update={"status": status, "reason": str(stop), "error": str(stop)})


def _unknown(before: PerformanceMetrics, after: PerformanceMetrics) -> dict[str, str]:
    reasons = {
        "avg_cost": "the price of the LM is not known; give lm.price",
        "avg_latency_ms": "some calls were answered from a cache or failed",
    }
    return {
        f"{side}_{name}": reasons.get(name, "no example was scored on both sides")
        for side, means in (("baseline", before), ("optimized", after))
        for name, value in means.model_dump().items()
        if value is None
    }


def _targets(request: OptimizationRequest, found: PerformanceMetrics) -> dict[str, bool]:
    from dspytrack.result import HIGHER_IS_BETTER

    reached: dict[str, bool] = {}
    for one in request.objectives:
        value = getattr(found, one.metric)
        if one.target_value is not None and value is not None:
            up = HIGHER_IS_BETTER[one.metric]
            reached[one.metric] = value >= one.target_value if up else value <= one.target_value
    return reached
