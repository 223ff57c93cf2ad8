"""The comparison, against brute force where the numbers are small enough for it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dspytrack.optimization.comparison import Terms, compare, improvement
from dspytrack.optimization.evidence import bootstrap_interval, paired_test
from dspytrack.request import Objective
from dspytrack.result import Comparison, PerformanceMetrics, Row

BOTH = [Objective(metric="success_rate"), Objective(metric="quality_score")]


TERMS = Terms(objectives=BOTH, success_threshold=1.0, alpha=0.05, max_error_rate=0.4, seed=0)


def rows(scores: Sequence[float | None]) -> list[Row]:
    """A row for each score; None is a failed call."""
    return [
        Row(example_id=str(i), score=score, cost_usd=0.01, latency_ms=5.0, error="failed" if score is None else None)
        for i, score in enumerate(scores)
    ]


def compared(
    before: Sequence[float | None],
    after: Sequence[float | None],
    inputs: Sequence[int] | None = None,
    max_error_rate: float = 0.4,
) -> Comparison:
    """Two lists of scores compared; `inputs` numbers the inputs of each example, all distinct without it."""
    groups = None if inputs is None else {str(i): f"input {one}" for i, one in enumerate(inputs)}
    return compare(rows(before), rows(after), replace(TERMS, max_error_rate=max_error_rate), groups)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_mcnemar_is_the_sum_of_binomial_tails(pairs: list[tuple[bool, bool]]) -> None:
    gained = sum(b and not a for a, b in pairs)
    lost = sum(a and not b for a, b in pairs)
    n, k = gained + lost, min(gained, lost)
    tail = sum(math.comb(n, i) for i in range(k + 1)) / 2**n if n else 1.0
    found = compared([float(a) for a, _ in pairs], [float(b) for _, b in pairs])
    assert found.test == "exact McNemar"
    assert found.p_value == pytest.approx(min(1.0, 2 * tail), abs=1e-12)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 10), st.integers(0, 10)), min_size=2, max_size=9))
def test_the_permutation_test_is_the_count_of_sign_flips(pairs: list[tuple[int, int]]) -> None:
    before, after = (np.array(side, dtype=float) / 10 for side in zip(*pairs, strict=True))
    differences = after - before
    if np.isin(before, (0, 1)).all() and np.isin(after, (0, 1)).all():
        return
    flips = [np.mean(differences * signs) for signs in itertools.product((1, -1), repeat=differences.size)]
    seen = differences.mean()
    up = sum(one >= seen - 1e-12 for one in flips) / len(flips)
    down = sum(one <= seen + 1e-12 for one in flips) / len(flips)
    assert paired_test(before, after, 0).p_value == pytest.approx(min(1.0, 2 * min(up, down)), abs=1e-9)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=3, max_size=12))
@settings(max_examples=25)
def test_swapping_the_sides_turns_the_difference_and_keeps_the_p_value(pairs: list[tuple[float, float]]) -> None:
    before, after = [a for a, _ in pairs], [b for _, b in pairs]
    one, other = compared(before, after), compared(after, before)
    assert one.quality_improvement == pytest.approx(-(other.quality_improvement or 0.0), abs=1e-12)
    assert one.p_value == pytest.approx(other.p_value, abs=1e-9)


def test_failed_examples_are_left_out_on_both_sides_and_counted() -> None:
    found = compared([1, 0, None, 0, 1, 0, 0, 0], [1, 1, 1, None, 1, 1, 1, 1])
    assert (found.examples, found.left_out, found.failed_baseline, found.failed_optimized) == (6, 2, 1, 1)
    assert found.baseline.success_rate == pytest.approx(2 / 6)
    assert found.optimized.success_rate == 1.0
    assert found.success_rate_improvement == pytest.approx(4 / 6)


def test_too_many_failures_are_inconclusive_whatever_the_scores() -> None:
    found = compared([0.0] * 20, [1.0] * 11 + [None] * 9)
    assert found.verdict == "inconclusive"
    assert "45%" in found.reason


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        ([0.0] * 20, [1.0] * 20, "better"),
        ([1.0] * 20, [0.0] * 20, "worse"),
        ([0.0, 1.0] * 10, [1.0, 0.0] * 10, "no difference shown"),
        ([0.0] * 3, [1.0] * 3, "inconclusive"),
        ([None] * 8, [1.0] * 8, "inconclusive"),
    ],
)
def test_the_verdict(before: list[float | None], after: list[float | None], verdict: str) -> None:
    assert compared(before, after, max_error_rate=1.0).verdict == verdict


def test_the_improvement_is_the_weighted_mean_of_relative_changes() -> None:
    before = PerformanceMetrics(success_rate=0.5, quality_score=0.4, avg_cost=0.02, avg_latency_ms=100)
    after = PerformanceMetrics(success_rate=0.75, quality_score=0.4, avg_cost=0.01, avg_latency_ms=150)
    weigh = [Objective(metric="success_rate", weight=3), Objective(metric="avg_cost", weight=1)]
    assert improvement(before, after, weigh) == pytest.approx((3 * 0.5 + 1 * 0.5) / 4)
    assert improvement(before, after, [Objective(metric="avg_latency_ms")]) == pytest.approx(-0.5)
    nothing = PerformanceMetrics(success_rate=0.0, quality_score=0.0)
    assert improvement(nothing, PerformanceMetrics(success_rate=0.3, quality_score=0.1), BOTH) == pytest.approx(0.2)
    unknown = PerformanceMetrics(success_rate=0.5, quality_score=0.4)
    assert improvement(unknown, after, [Objective(metric="avg_cost")]) is None


def test_the_interval_holds_the_mean_and_is_seeded() -> None:
    differences = np.array([0.1, 0.4, -0.2, 0.3, 0.2, 0.1, 0.0, 0.5])
    low, high = bootstrap_interval(differences, 0.05, 3)
    assert low is not None and high is not None
    assert low < differences.mean() < high
    assert (low, high) == bootstrap_interval(differences, 0.05, 3)
    assert bootstrap_interval(np.zeros(5), 0.05, 0) == (None, None)


scores = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1))


@given(st.lists(st.tuples(scores, scores), min_size=1, max_size=16), st.integers(2, 7), st.booleans())
@settings(max_examples=40)
def test_repeating_every_pair_is_no_further_evidence(
    pairs: list[tuple[float, float]], times: int, side_by_side: bool
) -> None:
    order = list(range(len(pairs))) * times
    order = sorted(order) if side_by_side else order
    once = compared([a for a, _ in pairs], [b for _, b in pairs])
    many = compared([pairs[i][0] for i in order], [pairs[i][1] for i in order], order)
    for name in ("p_value", "test", "interval_low", "interval_high", "detectable_effect", "verdict"):
        assert getattr(many, name) == getattr(once, name)
    assert many.examples == once.examples * times
    assert many.quality_improvement == pytest.approx(once.quality_improvement)


def test_examples_with_the_same_inputs_are_one_pair_and_the_reason_says_so() -> None:
    gains = ([0.0] * 8, [1.0, 1.0, 1.0] + [0.0] * 5)
    assert compared(*gains).p_value == 0.25
    found = compared(gains[0] * 4, gains[1] * 4, list(range(8)) * 4)
    assert (found.p_value, found.verdict, found.examples) == (0.25, "no difference shown", 32)
    assert "on 8 distinct inputs (32 examples)" in found.reason
    few = compared([0.0] * 16, [1.0] * 16, list(range(4)) * 4)
    assert few.verdict == "inconclusive"
    assert few.reason == "4 distinct inputs (16 examples) cannot show a difference at alpha 0.05"


def test_nothing_is_concluded_where_inputs_and_examples_point_in_opposite_directions() -> None:
    inputs = [*range(8), *[8] * 24]  # eight inputs lose, one that is written 24 times gains
    found = compared([1.0] * 8 + [0.0] * 24, [0.0] * 8 + [1.0] * 24, inputs)
    assert found.p_value == pytest.approx(20 / 2**9)
    assert found.quality_improvement == pytest.approx(0.5)  # means are over examples
    assert found.verdict == "inconclusive"
