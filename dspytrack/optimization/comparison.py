"""Two sets of rows on the same examples -> differences, p-value, interval, detectable effect, verdict.

The only place where scores are aggregated. Examples without a score on either side are left out and counted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from dspytrack.request import Objective
from dspytrack.result import HIGHER_IS_BETTER, Comparison, PerformanceMetrics, Row, Verdict

RESAMPLES = 9_999
Floats = NDArray[np.float64]


class Test(NamedTuple):
    """A two-sided paired test's name and p-value (None where there is nothing to test)."""

    name: str
    p_value: float | None


def compare(
    baseline: Sequence[Row],
    optimized: Sequence[Row],
    *,
    objectives: Sequence[Objective],
    success_threshold: float,
    alpha: float,
    max_error_rate: float,
    seed: int,
) -> Comparison:
    """Compare two programs on the same examples.

    Args:
        baseline: a row for each example, before.
        optimized: rows for the same examples, after; matched by example_id.
        objectives: what improvement_percentage is the weighted mean of.
        success_threshold: a score at or above it is a success.
        alpha: level of the test, and of the interval (1 - alpha).
        max_error_rate: above this share of failed examples nothing is concluded.
        seed: of the resampling.
    """
    after = {row.example_id: row for row in optimized}
    pairs = [(row, after[row.example_id]) for row in baseline if row.example_id in after]
    kept = [(a, b) for a, b in pairs if a.score is not None and b.score is not None]
    sides = [[a for a, _ in kept], [b for _, b in kept]]
    before, then = (means(side, success_threshold) for side in sides)
    scores = [np.array([row.score for row in side], dtype=float) for side in sides]
    test = paired_test(scores[0], scores[1], seed)
    interval = bootstrap_interval(scores[1] - scores[0], alpha, seed)
    failed = [sum(row.error is not None for row in side) for side in (baseline, optimized)]
    total = max(len(baseline), len(optimized), 1)
    smallest = detectable_effect(scores[1] - scores[0], alpha)
    verdict, reason = decide(
        difference=_minus(then.quality_score, before.quality_score),
        test=test,
        pairs=len(kept),
        error_rate=max(failed) / total,
        alpha=alpha,
        max_error_rate=max_error_rate,
        detectable=smallest,
    )
    return Comparison(
        baseline=before,
        optimized=then,
        examples=len(kept),
        left_out=total - len(kept),
        failed_baseline=failed[0],
        failed_optimized=failed[1],
        success_rate_improvement=_minus(then.success_rate, before.success_rate),
        cost_reduction=_minus(before.avg_cost, then.avg_cost),
        latency_reduction_ms=_minus(before.avg_latency_ms, then.avg_latency_ms),
        quality_improvement=_minus(then.quality_score, before.quality_score),
        improvement_percentage=improvement(before, then, objectives),
        p_value=test.p_value,
        test=test.name,
        interval_low=interval[0],
        interval_high=interval[1],
        detectable_effect=smallest,
        latency_p50_ms=(_percentile(sides[0], 50), _percentile(sides[1], 50)),
        latency_p95_ms=(_percentile(sides[0], 95), _percentile(sides[1], 95)),
        verdict=verdict,
        reason=reason,
    )


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


def paired_test(before: Floats, after: Floats, seed: int) -> Test:
    """Two-sided: exact McNemar where all scores are 0 or 1, else a paired permutation (sign-flip) test.

    McNemar's exact form is a binomial test of the discordant pairs against 1/2 (Fagerland et al. 2013). The
    permutation test is exact up to 13 pairs, otherwise 9,999 seeded resamples (Phipson & Smyth 2010 count).
    """
    if before.size == 0:
        return Test("none", None)
    if np.isin(before, (0.0, 1.0)).all() and np.isin(after, (0.0, 1.0)).all():
        gained, lost = int(((after == 1) & (before == 0)).sum()), int(((after == 0) & (before == 1)).sum())
        p_value = float(stats.binomtest(gained, gained + lost, 0.5).pvalue) if gained + lost else 1.0
        return Test("exact McNemar", p_value)
    differences = after - before
    if not differences.any():
        return Test("paired permutation", 1.0)
    if before.size == 1:
        return Test("paired permutation", 1.0)
    found = stats.permutation_test(
        (differences,),
        lambda sample, axis: np.round(np.mean(sample, axis=axis), 12),  # ties stay ties: 0.3 - 0.1 - 0.2 is 0
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        alternative="two-sided",
        rng=np.random.default_rng(seed),
    )
    return Test("paired permutation", float(found.pvalue))


def bootstrap_interval(differences: Floats, alpha: float, seed: int) -> tuple[float | None, float | None]:
    """BCa bootstrap interval (Efron 1987) of the mean difference at 1 - alpha; None where all pairs agree."""
    if differences.size < 2 or np.ptp(differences) == 0:
        return None, None
    found = stats.bootstrap(
        (differences,),
        np.mean,
        confidence_level=1 - alpha,
        n_resamples=RESAMPLES,
        method="BCa",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    low, high = float(found.low), float(found.high)
    return (low, high) if math.isfinite(low) and math.isfinite(high) else (None, None)


def detectable_effect(differences: Floats, alpha: float) -> float | None:
    """The smallest mean difference this many pairs could have shown with 80 % power, in score units.

    (z(1 - alpha/2) + z(0.8)) * sd / sqrt(n) for paired differences (Cohen 1988), and never less than the
    share of one-sided pairs that the exact sign test needs at all.
    """
    if differences.size < 2:
        return None
    needed = _fewest_pairs(alpha) / differences.size
    normal = stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(0.8)
    return float(max(needed, normal * differences.std(ddof=1) / math.sqrt(differences.size)))


def _fewest_pairs(alpha: float) -> int:
    """Discordant pairs, all one way, that a two-sided sign test needs to reach alpha: 2 * 0.5**n <= alpha."""
    return max(1, math.ceil(1 - math.log2(alpha)))


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


def decide(
    *,
    difference: float | None,
    test: Test,
    pairs: int,
    error_rate: float,
    alpha: float,
    max_error_rate: float,
    detectable: float | None,
) -> tuple[Verdict, str]:
    """The verdict in words and the reason for it."""
    if error_rate > max_error_rate:
        return "inconclusive", f"{error_rate:.0%} of the examples failed (max_error_rate is {max_error_rate:.0%})"
    if difference is None or test.p_value is None:
        return "inconclusive", "no example was scored on both sides"
    if pairs < _fewest_pairs(alpha):
        return "inconclusive", f"{pairs} examples cannot show a difference at alpha {alpha:g}"
    if test.p_value < alpha:
        word: Verdict = "better" if difference > 0 else "worse"
        return word, f"{test.name} test: p = {test.p_value:.3g} < {alpha:g} on {pairs} examples"
    reason = f"{test.name} test: p = {test.p_value:.3g} >= {alpha:g} on {pairs} examples"
    if detectable is not None:
        reason += f", which show differences of {detectable:.2f} and more"
    return "no difference shown", reason


def _minus(left: float | None, right: float | None) -> float | None:
    return None if left is None or right is None else left - right


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _percentile(rows: Sequence[Row], percent: float) -> float | None:
    known = [row.latency_ms for row in rows if row.latency_ms is not None]
    return float(np.percentile(known, percent)) if known and len(known) == len(rows) else None
