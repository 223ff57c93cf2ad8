"""The comparison, against brute force where the numbers are small enough for it."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dspytrack.config.schema import Objective
from dspytrack.evaluation.compare import Terms, compare, improvement
from dspytrack.evaluation.statistics import bootstrap_interval, paired_test
from dspytrack.results.values import Comparison, Failure, PerformanceMetrics, Row

BOTH = [Objective(metric="success_rate"), Objective(metric="quality_score")]


TERMS = Terms(objectives=BOTH, success_threshold=1.0, alpha=0.05, max_error_rate=0.4, seed=0)


def rows(scores: Sequence[float | None], failure: Failure = "call") -> list[Row]:
    """A row for each score; None is a failure, of the LM call where nothing else is said."""
    return [
        Row(example_id=str(i), score=score, cost_usd=0.01, latency_ms=5.0)
        if score is not None
        else Row(example_id=str(i), score=None, error=f"KeyError: {i}", failure=failure)
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


@pytest.mark.integration
def test_the_memory_of_the_resampling_does_not_grow_with_the_examples() -> None:
    before, after = np.random.default_rng(0).random((2, 2_000))
    tracemalloc.start()
    try:
        paired_test(before, after, 0)
        bootstrap_interval(after - before, 0.05, 0)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 150e6  # all 9,999 resamples of 2,000 at once are 160 MB, several times over


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


HARD = [0.0] * 50 + [1.0] * 72 + [0.0] * 38  # the first fifty of 160 examples are the hard ones


def test_a_program_that_makes_nothing_of_its_hard_examples_is_not_called_better() -> None:
    gave_up = rows([None] * 50 + [1.0] * 97 + [0.0] * 13, "program")
    found = compare(rows(HARD), gave_up, TERMS)
    assert found.p_value is not None and found.p_value < 0.001
    assert found.verdict == "better"  # 25 gained, none lost, whatever the fifty are: all were wrong before
    before = rows([1.0] * 50 + HARD[50:])
    found = compare(before, gave_up, TERMS)
    assert (found.examples, found.left_out, found.failed_optimized) == (110, 50, 50)
    assert found.p_value is not None and found.p_value < 0.001
    assert found.quality_improvement == pytest.approx(25 / 110)  # figures are over what both sides answered
    assert found.verdict == "inconclusive"
    assert found.reason == (
        "better only where the 50 examples are left out to which the optimized program gave no usable answer "
        "(baseline: 0); failed: 0 of the baseline, 50 of the optimized program"
    )


def test_a_baseline_that_gave_no_usable_answers_makes_nothing_worse() -> None:
    found = compare(rows([None] * 50 + [1.0] * 110, "program"), rows([1.0] * 140 + [0.0] * 20), TERMS)
    assert found.verdict == "inconclusive"
    assert found.reason.startswith("worse only where the 50 examples are left out to which the baseline gave no usable")


@pytest.mark.parametrize("failure", ["call", "metric"])
def test_failures_that_are_not_the_programs_leave_the_verdict_and_are_counted_in_its_reason(failure: Failure) -> None:
    before = rows([1.0] * 50 + HARD[50:])
    found = compare(before, rows([None] * 50 + [1.0] * 97 + [0.0] * 13, failure), TERMS)
    assert found.verdict == "better"
    assert found.reason.endswith("; failed: 0 of the baseline, 50 of the optimized program")


def test_the_worst_score_is_the_lowest_that_was_seen() -> None:
    before = [-2.0, *[0.5] * 29]
    after = [*[0.9] * 21, *[None] * 9]
    found = compare(rows(before), rows(after, "program"), TERMS)
    assert found.verdict == "inconclusive"  # nine at 0 would lose 4.5 of the 10.8 gained, nine at -2 lose more


def test_the_reason_of_too_many_failures_names_the_most_common_error() -> None:
    found = compare(rows([1.0] * 20), rows([1.0] * 11 + [None] * 9), TERMS)
    assert "9 of them with KeyError, the first: KeyError: 11" in found.reason


def test_a_baseline_stays_known_where_nothing_was_searched() -> None:
    found = compare(rows([1.0, 0.0] * 5 + [None] * 10), [], TERMS)
    assert (found.baseline.success_rate, found.baseline.avg_latency_ms) == (0.5, 5.0)
    assert found.baseline.avg_cost == pytest.approx(0.01)
    assert found.optimized == PerformanceMetrics()
    assert (found.examples, found.failed_baseline, found.latency_p50_ms) == (0, 10, (5.0, None))
    assert "failed: 10 of the baseline, the optimized program was not measured" in found.reason
