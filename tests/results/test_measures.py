"""The measures of a comparison side by side."""

from __future__ import annotations

from dspytrack.results.measures import measures
from dspytrack.results.values import PerformanceMetrics
from tests.results.full import full_result


def test_what_got_better_has_a_plus_and_what_is_unknown_says_so() -> None:
    comparison = full_result().comparison
    assert comparison is not None
    before = PerformanceMetrics(success_rate=0.5, quality_score=0.5, avg_latency_ms=365)
    after = PerformanceMetrics(success_rate=0.711, quality_score=0.7, avg_latency_ms=370)
    changes = {"success_rate_improvement": 0.211, "quality_improvement": 0.2, "latency_reduction_ms": -5.0}
    changed = comparison.model_copy(
        update={"baseline": before, "optimized": after, "cost_reduction": None, **changes},
    )
    assert [tuple(one) for one in measures(changed)] == [
        ("success rate", "50.0%", "71.1%", "+21.1%", 0.211),
        ("quality score", "0.500", "0.700", "+0.200", 0.2),
        ("cost a task", "unknown", "unknown", "unknown", None),
        ("latency", "365 ms", "370 ms", "-5 ms", -5.0),
    ]
