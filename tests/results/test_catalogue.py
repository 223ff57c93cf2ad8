"""Which way of a metric is better."""

from __future__ import annotations

import pytest

from dspytrack.results.values import Comparison, OptimizationResult, PerformanceMetrics, RoleUsage
from dspytrack.tracking.ranking import better_direction

MEANS = PerformanceMetrics(success_rate=1, avg_cost=1, avg_latency_ms=1, quality_score=1)
UP = {
    *("baseline_success_rate", "optimized_success_rate", "baseline_quality_score", "optimized_quality_score"),
    *("success_rate_improvement", "cost_reduction", "latency_reduction_ms", "quality_improvement"),
    *("improvement_percentage", "quality_improvement_ci_low", "quality_improvement_ci_high"),
    *("test_examples", "test_inputs"),
}


def test_of_every_metric_of_a_run_the_better_way_is_known() -> None:
    numbers = {name: 1 for name, field in Comparison.model_fields.items() if field.annotation in (int, float | None)}
    comparison = Comparison(
        baseline=MEANS,
        optimized=MEANS,
        test="a test",
        verdict="better",
        reason="",
        latency_p50_ms=(1, 1),
        latency_p95_ms=(1, 1),
        **numbers,  # type: ignore[arg-type]
    )
    roles = ("task", "teacher", "prompt", "reflection", "judge", "own")
    usage = {role: RoleUsage() for role in roles}
    result = OptimizationResult(record_id="x", record="x", status="completed", comparison=comparison, usage=usage)
    found = result.metrics()
    assert {name for name in found if better_direction(name) == "DESC"} == UP
    assert "detectable_effect" in found and "left_out_examples" in found


@pytest.mark.parametrize("name", ["loss", "val_loss", "errorRate", "rmse", "answer_latency_ms", "cost"])
def test_a_users_own_metric_that_says_so_is_better_when_there_is_less(name: str) -> None:
    assert better_direction(name) == "ASC"


@pytest.mark.parametrize("name", ["glossary", "accuracy", "cost_reduction_of_mine", "terror", "f1", "validation_score"])
def test_any_other_is_better_when_there_is_more(name: str) -> None:
    assert better_direction(name) == "DESC"
