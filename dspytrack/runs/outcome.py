"""From what was measured, or what ended a run before that, to its result: built once, from its parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from dspytrack.config.masking import masked
from dspytrack.config.schema import OptimizationRequest
from dspytrack.errors import RunStop
from dspytrack.evaluation.compare import Terms, compare
from dspytrack.record.store import Record
from dspytrack.results.catalogue import HIGHER_IS_BETTER
from dspytrack.results.values import Comparison, OptimizationResult, PerformanceMetrics, Row, Status
from dspytrack.runs.plan import Plan
from dspytrack.runs.search import Found

_STATUS: dict[str, Status] = {"budget": "budget_reached", "interrupted": "interrupted"}
_WHY_UNKNOWN = {
    "avg_cost": "the price of the LM is not known; give lm.price",
    "avg_latency_ms": "a call of an earlier attempt was not timed",
}


class Measured(NamedTuple):
    """Both programs on the test examples: what the search found, the comparison, and what changed, in words.

    `stopped` is the cap that cut the search or the test short, if one did.
    """

    found: Found
    comparison: Comparison
    key_improvements: list[str]
    stopped: RunStop | None


def compared(plan: Plan, baseline: Sequence[Row], optimized: Sequence[Row]) -> Comparison:
    """Compare the two programs by what the request asks for; test examples with the same inputs count as one."""
    request = plan.request
    terms = Terms(
        objectives=request.objectives,
        success_threshold=request.success_threshold,
        alpha=request.significance.alpha,
        max_error_rate=request.evaluation.max_error_rate,
        seed=request.seed,
    )
    return compare(baseline, optimized, terms, {item.example_id: item.group for item in plan.splits.test})


def result_of(
    plan: Plan, record: Record, measured: Measured | None, ended_by: RunStop | Exception | None
) -> OptimizationResult:
    """The result of a run.

    Args:
        plan: what was run.
        record: its record, with the candidates that were scored.
        measured: None where the run ended before its comparison.
        ended_by: what ended it early, a cap that left time for the comparison aside.
    """
    candidates = record.candidates()
    return OptimizationResult(
        record_id=record.run_id,
        record=str(record.folder),
        status=_status(measured, ended_by),
        verdict=measured.comparison.verdict if measured else None,
        reason=_reason(measured, ended_by),
        comparison=measured.comparison if measured else None,
        optimizer=measured.found.optimizer if measured else None,
        iterations=len({one.step for one in candidates}),
        duration_seconds=plan.meter.seconds,
        usage=plan.meter.usage(),
        candidates=candidates,
        key_improvements=measured.key_improvements if measured else [],
        unknown=_unknown(measured.comparison) if measured else {},
        target_reached=_targets(plan.request, measured.comparison.optimized) if measured else {},
        threshold_met=_threshold_met(plan.request, measured.comparison) if measured else None,
        error=_error(ended_by),
        unreachable=isinstance(ended_by, RunStop) and ended_by.reason == "unreachable",
    )


def _status(measured: Measured | None, ended_by: RunStop | Exception | None) -> Status:
    if isinstance(ended_by, RunStop):
        return _STATUS.get(ended_by.reason, "failed")
    if ended_by is not None or measured is None:
        return "failed"
    return "completed" if measured.stopped is None else "budget_reached"


def _reason(measured: Measured | None, ended_by: RunStop | Exception | None) -> str:
    if isinstance(ended_by, RunStop):
        return str(ended_by)
    if measured is None:
        return ""
    said = measured.comparison.reason
    return said if measured.stopped is None else f"{measured.stopped}; {said}"


def _error(ended_by: RunStop | Exception | None) -> str | None:
    if ended_by is None or isinstance(ended_by, RunStop):
        return None if ended_by is None else str(ended_by)
    return masked(f"{type(ended_by).__name__}: {ended_by}")


def _threshold_met(request: OptimizationRequest, comparison: Comparison) -> bool | None:
    improvement = comparison.improvement_percentage
    return None if improvement is None else improvement >= request.constraints.min_improvement_threshold


def _unknown(comparison: Comparison) -> dict[str, str]:
    nothing = "no example was scored on both sides"
    return {
        f"{side}_{name}": _WHY_UNKNOWN.get(name, nothing) if means.quality_score is not None else nothing
        for side, means in (("baseline", comparison.baseline), ("optimized", comparison.optimized))
        for name, value in means.model_dump().items()
        if value is None
    }


def _targets(request: OptimizationRequest, found: PerformanceMetrics) -> dict[str, bool]:
    reached: dict[str, bool] = {}
    for one in request.objectives:
        value = getattr(found, one.metric)
        if one.target_value is not None and value is not None:
            up = HIGHER_IS_BETTER[one.metric]
            reached[one.metric] = value >= one.target_value if up else value <= one.target_value
    return reached
