"""Means, percentiles and differences of two programs' cost, latency and scores."""

from __future__ import annotations

from dspytrack.config.schema import Objective
from dspytrack.evaluation.compare import Terms, compare
from dspytrack.results.values import Comparison, PerformanceMetrics, Row

TERMS = Terms([Objective(metric="success_rate")], success_threshold=0.5, alpha=0.05, max_error_rate=0.4, seed=0)


def side(*values: tuple[float, float | None, float | None]) -> list[Row]:
    """Rows of scores with their cost (USD) and latency (ms)."""
    return [
        Row(example_id=str(number), score=score, cost_usd=cost, latency_ms=latency)
        for number, (score, cost, latency) in enumerate(values)
    ]


def compared(*, lost: bool = False) -> Comparison:
    """A program made cheaper and quicker; one optimized row has neither cost nor latency where they are `lost`."""
    after = [(0.75, 0.25, 100.0), (0.5, 0.25, None if lost else 200.0)]
    optimized = side(*after[:1], (0.5, None if lost else 0.25, after[1][2]))
    return compare(side((0.25, 0.5, 300.0), (0.5, 1.0, 1300.0)), optimized, TERMS)


def test_a_score_at_the_threshold_is_a_success() -> None:
    found = compared()
    assert found.baseline == PerformanceMetrics(
        success_rate=0.5, quality_score=0.375, avg_cost=0.75, avg_latency_ms=800.0
    )
    assert found.optimized == PerformanceMetrics(
        success_rate=1.0, quality_score=0.625, avg_cost=0.25, avg_latency_ms=150.0
    )


def test_each_difference_is_positive_where_the_optimized_program_is_better() -> None:
    found = compared()
    assert (found.success_rate_improvement, found.quality_improvement) == (0.5, 0.25)
    assert (found.cost_reduction, found.latency_reduction_ms) == (0.5, 650.0)
    assert found.improvement_percentage == 1.0


def test_half_of_the_calls_are_quicker_than_p50_and_95_percent_than_p95() -> None:
    found = compared()
    assert found.latency_p50_ms == (800.0, 150.0)
    assert found.latency_p95_ms == (1250.0, 195.0)


def test_what_one_example_lacks_is_unknown_for_all() -> None:
    found = compared(lost=True)
    assert (found.optimized.avg_cost, found.optimized.avg_latency_ms) == (None, None)
    assert (found.cost_reduction, found.latency_reduction_ms) == (None, None)
    assert (found.latency_p50_ms[1], found.latency_p95_ms[1]) == (None, None)
    assert found.baseline.avg_cost == 0.75
