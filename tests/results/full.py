"""A result in which everything is known."""

from __future__ import annotations

from typing import Any

from dspytrack.results.roles import ROLES
from dspytrack.results.values import Comparison, OptimizationResult, PerformanceMetrics, RoleUsage

MEANS = PerformanceMetrics(success_rate=1, avg_cost=1, avg_latency_ms=1, quality_score=1)


def full_result(**values: Any) -> OptimizationResult:
    """A result with a comparison in which every number is 1, and an LM of each role used."""
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
    usage = {role.name: RoleUsage() for role in ROLES}
    known = {"record_id": "x", "record": "x", "status": "completed", "comparison": comparison, "usage": usage}
    return OptimizationResult(**(known | values))
