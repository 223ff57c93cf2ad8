"""Two sets of rows on the same examples -> means, differences, verdict.

Scores are aggregated here and, for the test, in `statistics.py`; nowhere else. Examples without a score on either side
are left out and counted; a verdict of better or worse must hold as well where those without a usable answer are not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dspytrack.config.schema import Objective
from dspytrack.evaluation.failures import as_worst, commonest, counted, unusable
from dspytrack.evaluation.power import fewest_pairs
from dspytrack.evaluation.statistics import PairedStatistics, paired_statistics
from dspytrack.results.catalogue import HIGHER_IS_BETTER
from dspytrack.results.values import Comparison, PerformanceMetrics, Row, Verdict


@dataclass(frozen=True)
class Terms:
    """What is asked of a comparison.

    `objectives`: what improvement_percentage is the weighted mean of; `success_threshold`: a score at or above it is a
    success; `alpha`: level of the test, and of the interval (1 - alpha); `max_error_rate`: above this share of failed
    examples nothing is concluded; `seed`: of the resampling.
    """

    objectives: Sequence[Objective]
    success_threshold: float
    alpha: float
    max_error_rate: float
    seed: int


def compare(
    baseline: Sequence[Row], optimized: Sequence[Row], terms: Terms, groups: Mapping[str, str] | None = None
) -> Comparison:
    """Compare two programs on the same examples.

    Means and their differences are over all examples scored on both sides. The test, the interval, the detectable
    effect and the verdict take examples with the same inputs as one pair, the mean of their scores: asking a program
    the same again is no further evidence about other inputs. Where the optimized program was not measured, the
    baseline's means are over all its scored examples.

    Args:
        baseline: a row for each example, before.
        optimized: rows for the same examples, after; matched by example_id.
        terms: objectives, thresholds, seed.
        groups: example_id -> what examples with the same inputs have in common; without it, all inputs are distinct.
    """
    sides = _paired(baseline, optimized)
    known = [row for row in baseline if row.score is not None] if not optimized else sides[0]
    before, then = (means(side, terms.success_threshold) for side in (known, sides[1]))
    failed = [sum(row.error is not None for row in side) for side in (baseline, optimized)]
    total = max(len(baseline), len(optimized), 1)
    shown = paired_statistics(*sides, groups or {}, terms.alpha, terms.seed)
    verdict, reason = decide(shown, terms)
    if max(failed) / total > terms.max_error_rate:
        verdict, reason = "inconclusive", _too_many(baseline, optimized, max(failed) / total, terms)
    elif verdict in ("better", "worse") and not _holds(verdict, baseline, optimized, terms, groups or {}):
        verdict, reason = "inconclusive", _only_without(verdict, unusable(baseline), unusable(optimized))
    return Comparison(
        baseline=before,
        optimized=then,
        examples=len(sides[0]),
        inputs=shown.inputs,
        left_out=total - len(sides[0]),
        failed_baseline=failed[0],
        failed_optimized=failed[1],
        **_differences(before, then, terms.objectives),
        p_value=shown.test.p_value,
        test=shown.test.name,
        interval_low=shown.interval[0],
        interval_high=shown.interval[1],
        detectable_effect=shown.detectable,
        latency_p50_ms=(_percentile(known, 50), _percentile(sides[1], 50)),
        latency_p95_ms=(_percentile(known, 95), _percentile(sides[1], 95)),
        verdict=verdict,
        reason=reason + counted(baseline, optimized),
    )


def _paired(baseline: Sequence[Row], optimized: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """The rows of the examples scored on both sides, in one order."""
    after = {row.example_id: row for row in optimized if row.score is not None}
    before = [row for row in baseline if row.score is not None and row.example_id in after]
    return before, [after[row.example_id] for row in before]


def _holds(
    verdict: Verdict, baseline: Sequence[Row], optimized: Sequence[Row], terms: Terms, groups: Mapping[str, str]
) -> bool:
    """Whether the verdict is the same with unusable answers scored as the worst: failing what is hard is no gain."""
    if not unusable(baseline) + unusable(optimized):
        return True
    worst = min([0.0, *(row.score for side in (baseline, optimized) for row in side if row.score is not None)])
    sides = _paired(as_worst(baseline, worst), as_worst(optimized, worst))
    return decide(paired_statistics(*sides, groups, terms.alpha, terms.seed), terms)[0] == verdict


def _only_without(verdict: Verdict, baseline: int, optimized: int) -> str:
    sides = (optimized, "optimized program", baseline, "baseline")
    most, side, fewer, other = sides if optimized >= baseline else (*sides[2:], *sides[:2])
    left_out = f"the {most} examples are left out to which the {side} gave no usable answer"
    return f"{verdict} only where {left_out} ({other}: {fewer})"


def _too_many(baseline: Sequence[Row], optimized: Sequence[Row], error_rate: float, terms: Terms) -> str:
    said = f"{error_rate:.0%} of the examples failed (max_error_rate is {terms.max_error_rate:.0%})"
    return f"{said}, {commonest([*baseline, *optimized])}"


def means(rows: Sequence[Row], success_threshold: float) -> PerformanceMetrics:
    """Means over scored rows; a figure that one row lacks is unknown."""
    scores = [row.score for row in rows if row.score is not None]
    if not scores:
        return PerformanceMetrics()
    return PerformanceMetrics(
        success_rate=sum(score >= success_threshold for score in scores) / len(scores),
        quality_score=sum(scores) / len(scores),
        avg_cost=_mean([row.cost_usd for row in rows]),
        avg_latency_ms=_mean([row.latency_ms for row in rows]),
    )


def improvement(before: PerformanceMetrics, after: PerformanceMetrics, objectives: Sequence[Objective]) -> float | None:
    """The weighted mean of relative changes in the better direction, as a fraction.

    Where a baseline is 0, its absolute change is taken. Objectives unknown on a side take no part.
    """
    total, weights = 0.0, 0.0
    for objective in objectives:
        old, new = getattr(before, objective.metric), getattr(after, objective.metric)
        if old is None or new is None:
            continue
        change = (new - old) if HIGHER_IS_BETTER[objective.metric] else (old - new)
        total += objective.weight * (change / abs(old) if old else change)
        weights += objective.weight
    return total / weights if weights else None


def decide(shown: PairedStatistics, terms: Terms) -> tuple[Verdict, str]:
    """The verdict in words and the reason for it, by the scores alone."""
    alpha, p_value = terms.alpha, shown.test.p_value
    if shown.difference is None or shown.over_examples is None or p_value is None:
        return "inconclusive", "no example was scored on both sides"
    count = f"{shown.examples} examples"
    if shown.inputs < shown.examples:
        count = f"{shown.inputs} distinct inputs ({count})"
    if shown.inputs < fewest_pairs(alpha):
        return "inconclusive", f"{count} cannot show a difference at alpha {alpha:g}"
    if p_value < alpha and shown.difference * shown.over_examples <= 0:
        return "inconclusive", f"{count}: the means over inputs and over examples do not differ the same way"
    if p_value < alpha:
        word: Verdict = "better" if shown.difference > 0 else "worse"
        return word, f"{shown.test.name} test: p = {p_value:.3g} < {alpha:g} on {count}"
    reason = f"{shown.test.name} test: p = {p_value:.3g} >= {alpha:g} on {count}"
    if shown.detectable is not None:
        reason += f", which show differences of {shown.detectable:.2f} and more"
    return "no difference shown", reason


def _differences(
    before: PerformanceMetrics, after: PerformanceMetrics, objectives: Sequence[Objective]
) -> dict[str, float | None]:
    return {
        "success_rate_improvement": _minus(after.success_rate, before.success_rate),
        "cost_reduction": _minus(before.avg_cost, after.avg_cost),
        "latency_reduction_ms": _minus(before.avg_latency_ms, after.avg_latency_ms),
        "quality_improvement": _minus(after.quality_score, before.quality_score),
        "improvement_percentage": improvement(before, after, objectives),
    }


def _minus(left: float | None, right: float | None) -> float | None:
    return None if left is None or right is None else left - right


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _percentile(rows: Sequence[Row], percent: float) -> float | None:
    known = [row.latency_ms for row in rows if row.latency_ms is not None]
    return float(np.percentile(known, percent)) if known and len(known) == len(rows) else None
