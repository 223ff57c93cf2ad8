"""The calls of MIPROv2, estimated and counted, and the parameters that it cannot work with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dspytrack.optimizers.miprov2 import Miprov2
from dspytrack.optimizers.protocol import Range, Sizes
from tests.support.counted_searches import Mood, MoodInTwoSteps, always, assert_within, counted_search

OWN_NUMBERS = {"num_candidates": 4, "num_trials": 5}
IN_BATCHES = {"minibatch": True, "minibatch_size": 3, "minibatch_full_eval_steps": 2}
NO_DEMOS = {"max_bootstrapped_demos": 0, "max_labeled_demos": 0}


@pytest.mark.parametrize(
    ("params", "sizes", "program", "own"),
    [
        (OWN_NUMBERS, Sizes(12, 8, 1), Range(6 * 8 + 2, 6 * 8 + 2 * 12), Range(4 + 2, 3 * 4 + 2 + 1)),
        (
            OWN_NUMBERS | IN_BATCHES,
            Sizes(12, 8, 2),
            Range(5 * 3 + (1 + 3) * 8 + 2, 5 * 3 + (1 + 3) * 8 + 2 * 12),
            Range(4 * 2 + 2, 3 * 4 * 2 + 2 + 1),
        ),
        (
            OWN_NUMBERS | IN_BATCHES | {"num_trials": 4},
            Sizes(12, 8, 1),
            Range(4 * 3 + (1 + 2) * 8 + 2, 4 * 3 + (1 + 2) * 8 + 2 * 12),
            Range(6, 15),
        ),
        (OWN_NUMBERS | {"max_labeled_demos": 0}, Sizes(12, 8, 1), Range(48 + 3, 48 + 3 * 12), Range(6, 15)),
        (OWN_NUMBERS | NO_DEMOS, Sizes(12, 8, 1), Range(48 + 3, 48 + 3 * 12), Range(6, 15)),
        (
            OWN_NUMBERS | {"num_candidates": 3, "max_bootstrapped_demos": 0},
            Sizes(12, 8, 1),
            Range(48, 48),
            Range(5, 12),
        ),
        (OWN_NUMBERS | {"num_candidates": 1}, Sizes(12, 8, 1), Range(48, 48), Range(3, 6)),
        (
            OWN_NUMBERS | {"program_aware_proposer": False, "data_aware_proposer": False},
            Sizes(12, 8, 2),
            Range(50, 72),
            Range(8, 8),
        ),
        (OWN_NUMBERS | {"view_data_batch_size": 1}, Sizes(12, 8, 1), Range(50, 72), Range(6, 12 + 2 + 9)),
        (OWN_NUMBERS, Sizes(11, 8, 1), Range(50, 6 * 8 + 2 * 11), Range(6, 15)),
        (
            {"num_candidates": 4, "num_trials": 6, "minibatch_size": 8},
            Sizes(12, 8, 1),
            Range(6 * 8 + (1 + 2) * 8 + 2, 6 * 8 + (1 + 2) * 8 + 2 * 12),
            Range(6, 15),
        ),
        (
            {"num_candidates": 3, "num_trials": 1, "minibatch": True},
            Sizes(12, 35, 1),
            Range(3 * 35 + 1, 3 * 35 + 12),
            Range(5, 12),
        ),
        ({"num_candidates": 3, "num_trials": 1}, Sizes(2, 0, 1), Range(2 + 1, 2 + 1), Range(5, 11)),
        (OWN_NUMBERS, Sizes(20, 0, 1), Range(6 * 16 + 2, 6 * 16 + 2 * 4), Range(6, 14)),
        ({}, Sizes(12, 8, 1), Range(11 * 8 + 4, 11 * 8 + 4 * 12), Range(5, 12)),
        ({}, Sizes(12, 8, 3), Range(32 * 8 + 4, 32 * 8 + 4 * 12), Range(11, 30)),
        ({"auto": "heavy"}, Sizes(12, 8, 1), Range(28 * 8 + 16, 28 * 8 + 16 * 12), Range(11, 30)),
        ({"max_labeled_demos": 0}, Sizes(12, 8, 1), Range(11 * 8 + 5, 11 * 8 + 5 * 12), Range(5, 12)),
        (NO_DEMOS, Sizes(12, 8, 1), Range(10 * 8 + 5, 10 * 8 + 5 * 12), Range(8, 21)),
        ({}, Sizes(12, 50, 1), Range(11 * 50 + 4, 11 * 50 + 48), Range(5, 12)),
        ({}, Sizes(12, 51, 1), Range(10 * 35 + 3 * 51 + 4, 10 * 35 + 3 * 51 + 48), Range(5, 12)),
        ({}, Sizes(12, 400, 1), Range(10 * 35 + 3 * 100 + 4, 10 * 35 + 3 * 100 + 48), Range(5, 12)),
        ({"num_candidates": 3, "num_trials": 1}, Sizes(2000, 0, 1), Range(2035 + 1, 2035 + 1000), Range(5, 20)),
    ],
)
def test_it_estimates_trials_bootstrapping_and_proposals(
    params: dict[str, Any], sizes: Sizes, program: Range, own: Range
) -> None:
    optimizer = Miprov2(params, sizes)
    assert optimizer.fault() is None
    assert optimizer.calls() == (program, own)


@pytest.mark.parametrize(
    "params",
    [
        OWN_NUMBERS | {"minibatch": False},
        OWN_NUMBERS | IN_BATCHES,
        OWN_NUMBERS | IN_BATCHES | {"num_trials": 4},
        OWN_NUMBERS | NO_DEMOS,
        OWN_NUMBERS | {"max_labeled_demos": 0},
        OWN_NUMBERS | {"num_candidates": 3, "max_bootstrapped_demos": 0},
    ],
)
def test_it_makes_the_most_with_an_lm_that_is_wrong(params: dict[str, Any], tmp_path: Path) -> None:
    search = counted_search(tmp_path, "miprov2", params, answer=always(right=False))
    assert search.program == search.estimated.program.most
    assert search.own == search.estimated.own.most


@pytest.mark.parametrize(
    ("params", "train", "val", "program"),
    [
        ({}, 12, 8, Mood),
        pytest.param({}, 12, 51, Mood, marks=pytest.mark.integration),
        (OWN_NUMBERS, 10, 0, Mood),
        (OWN_NUMBERS | IN_BATCHES, 12, 8, MoodInTwoSteps),
        (OWN_NUMBERS | {"view_data_batch_size": 2, "program_aware_proposer": False}, 12, 8, MoodInTwoSteps),
    ],
)
def test_it_makes_no_fewer_and_no_more_calls_than_estimated(
    params: dict[str, Any], train: int, val: int, program: type[Mood], tmp_path: Path
) -> None:
    search = counted_search(tmp_path, "miprov2", params, train=train, val=val, program=program)
    assert_within(search)
    assert search.roles == {"task", "teacher", "prompt"}


def test_it_makes_the_least_where_each_set_needs_one_demo_and_the_lm_is_right(tmp_path: Path) -> None:
    params = OWN_NUMBERS | {"max_bootstrapped_demos": 1, "minibatch": False}
    search = counted_search(tmp_path, "miprov2", params, answer=always(right=True))
    assert search.program == search.estimated.program.least


@pytest.mark.parametrize(
    ("given", "val", "added"),
    [
        ({}, 8, {}),
        ({"num_trials": 3}, 40, {"auto": None}),
        ({"num_candidates": 3}, 8, {"auto": None, "minibatch": False}),
        ({"num_candidates": 3, "minibatch_size": 8}, 8, {"auto": None}),
        ({"num_candidates": 3, "minibatch": True}, 8, {"auto": None}),
        ({"num_candidates": 3, "auto": None}, 8, {}),
        ({"num_candidates": 3}, 0, {"auto": None, "minibatch": False}),
    ],
)
def test_numbers_of_the_configs_own_turn_auto_off_and_minibatches_that_val_cannot_fill(
    given: dict[str, Any], val: int, added: dict[str, Any]
) -> None:
    assert Miprov2(given, Sizes(12, val, 1)).arguments == given | added


@pytest.mark.parametrize(
    ("params", "sizes", "says"),
    [
        ({}, Sizes(1, 0, 1), "it needs 2 train examples where there are none in val; there is 1"),
        ({"num_candidates": 3}, Sizes(12, 8, 1), "num_candidates and num_trials go together"),
        ({"auto": "light", "num_trials": 3}, Sizes(12, 8, 1), "auto and num_trials exclude each other"),
        ({"max_bootstrapped_demos": 0}, Sizes(12, 8, 1), "max_bootstrapped_demos 0 needs max_labeled_demos 0, too"),
        (OWN_NUMBERS | {"max_bootstrapped_demos": 0}, Sizes(12, 8, 1), "max_bootstrapped_demos 0 needs"),
        (OWN_NUMBERS | {"minibatch": True}, Sizes(12, 34, 1), "minibatch_size 35 needs as many val examples"),
        (OWN_NUMBERS | {"minibatch": True}, Sizes(42, 0, 1), "minibatch_size 35 needs as many val examples"),
        ({"minibatch_size": 101}, Sizes(12, 400, 1), "minibatch_size 101 needs as many val examples, there are 100"),
    ],
)
def test_what_would_fail_in_the_middle_of_a_search_is_a_fault(params: dict[str, Any], sizes: Sizes, says: str) -> None:
    assert str(Miprov2(params, sizes).fault()).startswith(says)
