"""From what was measured, or from a stop, to the result of the run."""

from __future__ import annotations

from collections.abc import Sequence

from dspytrack.config.schema import OptimizationRequest
from dspytrack.errors import RunStop
from dspytrack.evaluation.compare import Terms, compare
from dspytrack.results.catalogue import HIGHER_IS_BETTER
from dspytrack.results.values import Comparison, OptimizationResult, PerformanceMetrics, Row, Status
from dspytrack.runs.plan import Plan

_STATUS: dict[str, Status] = {"budget": "budget_reached", "interrupted": "interrupted"}
_WHY_UNKNOWN = {
    "avg_cost": "the price of the LM is not known; give lm.price",
    "avg_latency_ms": "a call of an earlier sitting was not timed",
}


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


def finished(
    result: OptimizationResult, plan: Plan, comparison: Comparison, optimizer: str | None, stopped: RunStop | None
) -> OptimizationResult:
    """The result of a run that reached its comparison; `stopped` where a cap cut the search or the test short."""
    request = plan.request
    improvement = comparison.improvement_percentage
    threshold = request.constraints.min_improvement_threshold
    return result.model_copy(
        update={
            "status": "completed" if stopped is None else "budget_reached",
            "verdict": comparison.verdict,
            "reason": comparison.reason if stopped is None else f"{stopped}; {comparison.reason}",
            "comparison": comparison,
            "optimizer": optimizer,
            "unknown": _unknown(comparison),
            "target_reached": _targets(request, comparison.optimized),
            "threshold_met": None if improvement is None else improvement >= threshold,
        }
    )


def cut_off(result: OptimizationResult, stop: RunStop) -> OptimizationResult:
    """The result of a run that ended before its comparison."""
    status, unreachable = _STATUS.get(stop.reason, "failed"), stop.reason == "unreachable"
    said = {"reason": str(stop), "error": str(stop)}
    return result.model_copy(update={"status": status, "unreachable": unreachable, **said})


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
