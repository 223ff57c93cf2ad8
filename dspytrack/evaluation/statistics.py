"""Paired scores -> p-value, interval, detectable effect.

Asking a program the same thing twice says nothing more about other inputs: examples with the same inputs are one pair.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from dspytrack.evaluation.power import detectable_effect
from dspytrack.results.values import Row

RESAMPLES = 9_999
HELD = 1_000_000  # numbers of resamples held in memory at once, a few times 8 MB
Floats = NDArray[np.float64]


class Test(NamedTuple):
    """A two-sided paired test's name and p-value (None where there is nothing to test)."""

    name: str
    p_value: float | None


class PairedStatistics(NamedTuple):
    """What the paired scores show, examples with the same inputs taken as one pair, the mean of their scores.

    `difference` is the mean over `inputs` distinct inputs and `over_examples` that over all `examples`, optimized minus
    baseline, None where there are none; `detectable` as by `detectable_effect`.
    """

    difference: float | None
    over_examples: float | None
    test: Test
    interval: tuple[float | None, float | None]
    detectable: float | None
    inputs: int
    examples: int


def paired_statistics(
    before: Sequence[Row], after: Sequence[Row], groups: Mapping[str, str], alpha: float, seed: int
) -> PairedStatistics:
    """Test the paired, scored rows of two sides.

    Args:
        before: of the baseline.
        after: of the optimized program, in the same order.
        groups: example_id -> what examples with the same inputs have in common; one without is a group by itself.
        alpha: level of the interval (1 - alpha) and of the detectable effect.
        seed: of the resampling.
    """
    old, new = (_by_inputs(side, groups) for side in (before, after))
    differences = new - old
    each = [(b.score or 0.0) - (a.score or 0.0) for a, b in zip(before, after, strict=True)]
    return PairedStatistics(
        difference=float(differences.mean()) if differences.size else None,
        over_examples=statistics.mean(each) if each else None,
        test=paired_test(old, new, seed),
        interval=bootstrap_interval(differences, alpha, seed),
        detectable=detectable_effect(differences, alpha),
        inputs=differences.size,
        examples=len(before),
    )


def _by_inputs(rows: Sequence[Row], groups: Mapping[str, str]) -> Floats:
    """Each group's mean score, in the order of their first rows; exact: equal scores stay what they are."""
    scores: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if row.score is not None:
            scores[groups.get(row.example_id, row.example_id)].append(row.score)
    return np.array([statistics.mean(group) for group in scores.values()], dtype=float)


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
        batch=_batch(differences.size),
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
        batch=_batch(differences.size),
        method="BCa",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    low, high = float(found.low), float(found.high)
    return (low, high) if math.isfinite(low) and math.isfinite(high) else (None, None)


def _batch(pairs: int) -> int:
    """Resamples drawn at once: of the results no more than the memory they take depends on it."""
    return max(1, min(RESAMPLES, HELD // pairs))
