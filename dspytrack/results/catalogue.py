"""Every metric that a run logs, once: its name, what people call it, its unit, which way is better, what it means.

Tables, reports, ranking, completion and documentation read it here; where the values come from is `values.py`'s.
Imports nothing heavy, since a shell reads it at each press of the tab key.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from dspytrack.results.roles import ROLES

Unit = Literal["fraction", "score", "USD", "ms", "s", "count", "p"]
Better = Literal["higher", "lower"]

SIDES = {"baseline": "the program as it was", "optimized": "the optimized program"}
_SIDE, _ROLE = "{side}_", "{role}_"
_BOTH = "baseline, optimized"  # the group of a family whose members are each in the group of their side
_FORMS: dict[Unit, tuple[str, str]] = {
    "fraction": (".1%", ""),
    "score": (".3f", ""),
    "ms": (".0f", " ms"),
    "s": (".1f", " s"),
    "count": (",.0f", ""),
    "p": (".3g", ""),
}
_ENDINGS: dict[str, Unit] = {"_usd": "USD", "_ms": "ms", "_seconds": "s"}


class MetricInfo(NamedTuple):
    """A metric, or a family of them whose name begins with `{side}_` or `{role}_`.

    `better` is None where neither direction is; `label` is what people call it and `head` a shorter label for a
    table's column; `stepped` metrics are logged once for each candidate and are no part of a result.
    """

    name: str
    unit: Unit
    better: Better | None
    meaning: str
    label: str = ""
    head: str = ""
    group: str = ""
    stepped: bool = False

    def members(self) -> Iterator[MetricInfo]:
        """The metrics of a family; of any other entry itself."""
        if self.name.startswith(_SIDE):
            for side, of_what in SIDES.items():
                yield self._member(_SIDE, side, of_what)
        elif self.name.startswith(_ROLE):
            for role in ROLES:
                yield self._member(_ROLE, role.name, role.meaning)
        else:
            yield self

    def _member(self, family: str, name: str, of_what: str) -> MetricInfo:
        return self._replace(
            name=f"{name}_{self.name.removeprefix(family)}",
            label=f"{name} {self.label}",
            head=self.head and f"{name} {self.head}",
            group=name if self.group == _BOTH else self.group,
            meaning=f"{self.meaning} ({of_what})",
        )


def _group(name: str, *entries: MetricInfo) -> tuple[MetricInfo, ...]:
    """Entries of one group, each with the label that its name gives it unless it has one."""
    return tuple(
        one._replace(group=name, label=one.label or re.sub(r"^{\w+}_", "", one.name).replace("_", " "))
        for one in entries
    )


ENTRIES = (
    *_group(
        _BOTH,
        MetricInfo(
            *("{side}_success_rate", "fraction", "higher"),
            "share of test examples whose score reaches success_threshold",
            head="success",
        ),
        MetricInfo("{side}_avg_cost", "USD", "lower", "mean cost of the billed LM calls of an example", "cost a task"),
        MetricInfo("{side}_avg_latency_ms", "ms", "lower", "mean wall time of a call of the program", "latency"),
        MetricInfo("{side}_quality_score", "score", "higher", "mean score of the test examples"),
    ),
    *_group(
        "improvement",
        MetricInfo("success_rate_improvement", "fraction", "higher", "optimized minus baseline success rate"),
        MetricInfo("cost_reduction", "USD", "higher", "baseline minus optimized cost of an example"),
        MetricInfo("latency_reduction_ms", "ms", "higher", "baseline minus optimized latency", "latency reduction"),
        MetricInfo("quality_improvement", "score", "higher", "optimized minus baseline quality score"),
        MetricInfo(
            *("improvement_percentage", "fraction", "higher"),
            "weighted mean, over the objectives, of the relative change in the better direction",
            *("improvement", "improved"),
        ),
        MetricInfo("statistical_significance", "p", "lower", "p-value of the paired test on the scores", "p-value"),
    ),
    *_group(
        "algorithm",
        MetricInfo("iterations", "count", "lower", "candidate programs that the optimizer scored", "candidates"),
        MetricInfo("duration_seconds", "s", "lower", "wall time of all attempts of the run", "duration"),
    ),
    *_group(
        "beyond",
        MetricInfo("quality_improvement_ci_low", "score", "higher", "lower end of the quality improvement's interval"),
        MetricInfo("quality_improvement_ci_high", "score", "higher", "upper end of the quality improvement's interval"),
        MetricInfo("detectable_effect", "score", "lower", "smallest score difference that the test could have shown"),
        MetricInfo("test_examples", "count", None, "test examples scored on both sides"),
        MetricInfo("test_inputs", "count", None, "distinct inputs among them: the pairs that are tested"),
        MetricInfo("left_out_examples", "count", "lower", "test examples without a score on one side or both"),
        MetricInfo("{side}_latency_p50_ms", "ms", "lower", "median latency", "median latency"),
        MetricInfo("{side}_latency_p95_ms", "ms", "lower", "95th percentile of the latency", "95 % latency"),
        MetricInfo("{side}_failed_calls", "count", "lower", "test examples that ended in an error", "failed examples"),
        MetricInfo("validation_score", "fraction", "higher", "validation score of a candidate, by step", stepped=True),
    ),
    *_group(
        "usage",
        MetricInfo("total_lm_calls", "count", "lower", "billed LM calls of all roles", "LM calls"),
        MetricInfo("total_cost_usd", "USD", "lower", "cost of the billed LM calls of all roles", "total cost"),
        MetricInfo("{role}_calls", "count", "lower", "billed LM calls", "LM calls"),
        MetricInfo("{role}_cached_calls", "count", None, "LM calls answered from the cache"),
        MetricInfo("{role}_failed_calls", "count", "lower", "LM calls that failed for good"),
        MetricInfo("{role}_retried_calls", "count", "lower", "retries of LM calls"),
        MetricInfo("{role}_timed_out_calls", "count", "lower", "LM calls that timed out"),
        MetricInfo("{role}_prompt_tokens", "count", "lower", "prompt tokens of the billed LM calls"),
        MetricInfo("{role}_completion_tokens", "count", "lower", "completion tokens of the billed LM calls"),
        MetricInfo("{role}_cost_usd", "USD", "lower", "cost of the billed LM calls", "cost"),
    ),
)
"""The catalogue: one entry for a metric or for a family of metrics."""

METRICS = {one.name: one for entry in ENTRIES for one in entry.members()}
"""Each metric by the name it is logged under."""

RESULT_METRICS = frozenset(name for name, one in METRICS.items() if not one.stepped)
"""The names of the metrics that a result has."""

MEASURES = {one.name.removeprefix(_SIDE): one for one in ENTRIES if one.name.startswith(_SIDE)}
"""What is measured of both programs, by its name without the side."""

OBJECTIVES = {name: one for name, one in MEASURES.items() if one.group == _BOTH}
"""The measures that may take part in improvement_percentage."""

HIGHER_IS_BETTER = {name: one.better == "higher" for name, one in OBJECTIVES.items()}
"""For each objective, whether a program is better where it is higher."""

METRIC_NAMES = tuple(one.name for one in METRICS.values() if one.group in (*SIDES, "improvement", "algorithm"))
"""The main metrics, which every finished run logs where they are known."""


def table_head(name: str) -> str:
    """What a table's column of a metric is headed by, in as few words as will do."""
    known = METRICS.get(name)
    return known.head or known.label if known else name.replace("_", " ")


def format_value(name: str, value: float | None, signed: bool = False) -> str:
    """A metric's value with its unit, as people read it; empty where it is unknown.

    Args:
        name: of the metric. That of a user's own may end in `_ms`, `_usd` or `_seconds`.
        value: in the metric's unit.
        signed: whether a plus is shown.
    """
    if value is None:
        return ""
    if name in METRICS:
        return _formatted(value, METRICS[name].unit, signed)
    for ending, unit in _ENDINGS.items():
        if name.endswith(ending):
            return _formatted(value, unit, signed)
    is_whole = math.isfinite(value) and value == int(value) and abs(value) < 1e15
    return format(value, f"{'+' if signed else ''}{',.0f' if is_whole else '.4g'}")


def usd(amount: float | None, signed: bool = False) -> str:
    """An amount of USD with at least two decimals and three digits that say something; "cost unknown" for None."""
    if amount is None:
        return "cost unknown"
    small = amount and math.isfinite(amount) and abs(amount) < 1
    decimals = min(12, 2 - math.floor(math.log10(abs(amount)))) if small else 2
    sign = "-" if amount < 0 else "+" if signed else ""
    return f"{sign}${abs(amount):,.{decimals}f}"


def _formatted(value: float, unit: Unit, signed: bool) -> str:
    if unit == "USD":
        return usd(value, signed)
    form, suffix = _FORMS[unit]
    return format(value, f"{'+' if signed else ''}{form}") + suffix


def markdown_table() -> str:
    """The catalogue as a Markdown table, a family of metrics in one row."""
    lines = ["| metric | group | unit | better | meaning |", "| --- | --- | --- | --- | --- |"]
    for one in ENTRIES:
        lines.append(f"| `{one.name}` | {one.group} | {one.unit} | {one.better or '–'} | {one.meaning} |")
    families = {"side": list(SIDES), "role": [role.name for role in ROLES]}
    said = "; ".join(f"`{{{name}}}` is one of {', '.join(words)}" for name, words in families.items())
    return "\n".join([*lines, "", f"{said}."])
