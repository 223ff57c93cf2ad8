"""How figures are shown to people: a metric's value by its name, and the measures of a comparison side by side."""

from __future__ import annotations

import re
from typing import NamedTuple

from dspytrack.results.values import Comparison

_MEASURES = (
    ("success rate", "success_rate", "success_rate_improvement", "{:.1%}", "{:+.1%}"),
    ("quality score", "quality_score", "quality_improvement", "{:.3f}", "{:+.3f}"),
    ("cost a task", "avg_cost", "cost_reduction", "${:.6f}", "${:+.6f}"),
    ("latency", "avg_latency_ms", "latency_reduction_ms", "{:.0f} ms", "{:+.0f} ms"),
)


class Measure(NamedTuple):
    """One measure of a comparison in words; `change` is the number behind `better_by`, positive where it got better."""

    label: str
    baseline: str
    optimized: str
    better_by: str
    change: float | None


def measures(c: Comparison) -> list[Measure]:
    """The four measures of a comparison, what is unknown as "unknown"."""
    found = []
    for label, name, difference, form, signed in _MEASURES:
        before, after = getattr(c.baseline, name), getattr(c.optimized, name)
        change = getattr(c, difference)
        better_by = _formed(change, signed).replace("$+", "+$").replace("$-", "-$")
        found.append(Measure(label, _formed(before, form), _formed(after, form), better_by, change))
    return found


def _formed(value: float | None, form: str) -> str:
    return "unknown" if value is None else form.format(value)


def format_value(name: str, value: float | None) -> str:
    """A metric's value with its unit: fractions as %, USD, ms, seconds; empty where it is unknown."""
    if value is None:
        return ""
    if re.search(r"latency.*_ms$|latency_reduction", name):
        return f"{value:.0f} ms"
    if re.search(r"cost", name):
        return f"{'-' if value < 0 else ''}${abs(value):.6f}"
    if name.endswith("seconds"):
        return f"{value:.1f} s"
    if re.search(r"success_rate|improvement_percentage", name):
        return f"{value:.1%}"
    if name == "statistical_significance":
        return f"{value:.2g}"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.4g}"
