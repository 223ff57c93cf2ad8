"""What paired scores show: known p-values, intervals and detectable effects."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from dspytrack.evaluation.power import detectable_effect, fewest_pairs
from dspytrack.evaluation.statistics import Floats, bootstrap_interval, paired_statistics, paired_test
from dspytrack.results.values import Row

rng = np.random.default_rng(3)
BEFORE = rng.uniform(0, 0.6, 40)
AFTER = BEFORE + rng.normal(0.2, 0.3, 40)


def scores(*values: float) -> Floats:
    """Scores of some inputs."""
    return np.array(values, dtype=float)


def rows(*values: float) -> list[Row]:
    """Rows of some examples."""
    return [Row(example_id=str(number), score=value) for number, value in enumerate(values)]


@pytest.mark.parametrize(
    ("gained", "lost", "p_value"), [(5, 0, 2 / 32), (6, 0, 2 / 64), (0, 6, 2 / 64), (7, 1, 18 / 256), (3, 3, 1.0)]
)
def test_right_and_wrong_answers_are_tested_by_the_pairs_that_differ(gained: int, lost: int, p_value: float) -> None:
    before = scores(*[0] * gained, *[1] * lost, 0, 0, 1, 1, 1)
    after = scores(*[1] * gained, *[0] * lost, 0, 0, 1, 1, 1)
    assert paired_test(before, after, 0) == ("exact McNemar", pytest.approx(p_value))


def test_right_and_wrong_answers_that_all_agree_show_nothing() -> None:
    assert paired_test(scores(0, 1, 1), scores(0, 1, 1), 0) == ("exact McNemar", 1.0)
    assert paired_test(scores(), scores(), 0) == ("none", None)


def test_scores_between_right_and_wrong_are_tested_by_permutation_exactly_where_pairs_are_few() -> None:
    before, after = scores(0.1, 0.2, 0.3, 0.4, 0.5, 0.6), scores(0.2, 0.4, 0.6, 0.8, 1.0, 0.7)
    assert paired_test(before, after, 0) == ("paired permutation", 2 / 64)
    assert paired_test(after, before, 0) == ("paired permutation", 2 / 64)
    assert paired_test(scores(0.5, 0, 1), scores(1, 1, 1), 0).name == "paired permutation"
    assert paired_test(scores(0, 0, 1), scores(0.5, 1, 1), 0).name == "paired permutation"


def test_differences_that_cancel_out_show_nothing_though_floats_do_not_sum_to_zero() -> None:
    differences = scores(-0.6, -0.5, 0.3, 0.3, 0.1, 0.1, 0.3)
    assert sum(differences) != 0
    assert paired_test(0 * differences, differences, 0) == ("paired permutation", 1.0)


def test_scores_that_agree_and_a_single_pair_show_nothing() -> None:
    assert paired_test(scores(0.5, 0.25), scores(0.5, 0.25), 0) == ("paired permutation", 1.0)
    assert paired_test(scores(0.5), scores(0.75), 0) == ("paired permutation", 1.0)


def test_many_pairs_are_resampled_with_the_seed_close_to_a_t_test() -> None:
    after = AFTER - 0.13
    found = [paired_test(BEFORE, after, seed).p_value for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]
    assert found[0] == pytest.approx(stats.ttest_rel(after, BEFORE).pvalue, abs=0.02)
    assert paired_test(BEFORE, AFTER + 5, 0).p_value == 2 / 10_000  # the least that 9,999 resamples can show


def test_an_interval_is_around_the_mean_difference_as_wide_as_its_level_says() -> None:
    differences = AFTER - BEFORE
    low, high = bootstrap_interval(differences, 0.05, 0)
    error = differences.std(ddof=1) / math.sqrt(40)
    assert low == pytest.approx(differences.mean() - 1.96 * error, abs=0.02)
    assert high == pytest.approx(differences.mean() + 1.96 * error, abs=0.02)
    wider = bootstrap_interval(differences, 0.01, 0)
    assert low is not None and high is not None and wider[0] is not None and wider[1] is not None
    assert wider[0] < low and wider[1] > high
    assert bootstrap_interval(differences, 0.05, 0) == (low, high) != bootstrap_interval(differences, 0.05, 1)


def test_pairs_that_all_differ_alike_or_a_single_one_have_no_interval() -> None:
    for differences in (scores(), scores(0.5), scores(0.5, 0.5, 0.5)):
        assert bootstrap_interval(differences, 0.05, 0) == (None, None)
    assert None not in bootstrap_interval(scores(0.25, 0.5), 0.05, 0)


@pytest.mark.parametrize(("alpha", "pairs"), [(0.05, 6), (0.0625, 5), (0.01, 8), (0.5, 2), (0.9, 2), (0.999, 2)])
def test_the_fewest_pairs_are_those_of_a_sign_test_that_reaches_alpha(alpha: float, pairs: int) -> None:
    assert fewest_pairs(alpha) == pairs
    assert 2 * 0.5**pairs <= alpha < 2 * 0.5 ** (pairs - 1)


def test_the_detectable_effect_has_80_percent_power() -> None:
    differences = 2 * (AFTER - BEFORE)
    error = differences.std(ddof=1) / math.sqrt(40)
    assert detectable_effect(differences, 0.05) == pytest.approx((1.95996 + 0.84162) * error, rel=1e-4)
    assert detectable_effect(differences, 0.1) == pytest.approx((1.64485 + 0.84162) * error, rel=1e-4)


def test_the_detectable_effect_is_never_less_than_the_pairs_that_a_sign_test_needs() -> None:
    assert detectable_effect(scores(*[0] * 12), 0.05) == 0.5
    assert detectable_effect(scores(0, 0), 0.05) == 3.0
    assert detectable_effect(scores(0.5), 0.05) is None


def test_examples_with_the_same_inputs_are_one_pair_with_the_mean_of_their_scores() -> None:
    shown = paired_statistics(rows(0, 0, 1, 0), rows(1, 0, 1, 1), {"0": "same", "1": "same", "2": "same"}, 0.05, 0)
    assert (shown.inputs, shown.examples) == (2, 4)
    assert shown.difference == pytest.approx((1 / 3 + 1) / 2)
    assert shown.over_examples == 0.5
    assert paired_statistics(rows(0, 0, 0), rows(1, 0, 0), {}, 0.05, 0).over_examples == pytest.approx(1 / 3)
    assert shown.test == ("paired permutation", 0.5)


def test_without_examples_nothing_is_shown() -> None:
    shown = paired_statistics([], [], {}, 0.05, 0)
    assert (shown.difference, shown.over_examples, shown.interval, shown.detectable) == (None, None, (None, None), None)
    assert (shown.test, shown.inputs, shown.examples) == (("none", None), 0, 0)


def test_the_level_and_the_seed_reach_what_they_are_for() -> None:
    before, after = rows(*BEFORE), rows(*AFTER)
    shown = paired_statistics(before, after, {}, 0.2, 5)
    differences = AFTER - BEFORE
    assert shown.test == paired_test(BEFORE, AFTER, 5)
    assert shown.interval == bootstrap_interval(differences, 0.2, 5)
    assert shown.detectable == detectable_effect(differences, 0.2)
    assert shown.difference == pytest.approx(differences.mean()) and shown.difference > 0
