"""The measures of a comparison side by side, as people read them in the terminal and in the report."""

from __future__ import annotations

from typing import NamedTuple

from dspytrack.results.catalogue import OBJECTIVES, format_value
from dspytrack.results.values import Comparison

_DIFFERENCES = {
    "success_rate": "success_rate_improvement",
    "quality_score": "quality_improvement",
    "avg_cost": "cost_reduction",
    "avg_latency_ms": "latency_reduction_ms",
}


class Measure(NamedTuple):
    """A measure of both programs in words; `change` is the number behind `better_by`, positive where it got better."""

    label: str
    baseline: str
    optimized: str
    better_by: str
    change: float | None


def measures(c: Comparison) -> list[Measure]:
    """The four measures of a comparison; "unknown" for what is unknown."""
    found = []
    for name, difference in _DIFFERENCES.items():
        change = getattr(c, difference)
        found.append(
            Measure(
                OBJECTIVES[name].label,
                baseline=format_value(f"baseline_{name}", getattr(c.baseline, name)) or "unknown",
                optimized=format_value(f"optimized_{name}", getattr(c.optimized, name)) or "unknown",
                better_by=format_value(difference, change, signed=True) or "unknown",
                change=change,
            )
        )
    return found
