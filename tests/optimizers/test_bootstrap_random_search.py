"""The calls of BootstrapFewShotWithRandomSearch, estimated and counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dspytrack.optimizers.bootstrap_random_search import BootstrapRandomSearch
from dspytrack.optimizers.protocol import Range, Sizes
from tests.support.counted_searches import always, assert_within, counted_search

NAME = "bootstrap_random_search"


@pytest.mark.parametrize(
    ("params", "val", "expected"),
    [
        ({}, 8, Range(19 * 8 + 17, 19 * 8 + 17 * 12)),
        ({"num_candidate_programs": 3}, 8, Range(6 * 8 + 4, 6 * 8 + 4 * 12)),
        ({"num_candidate_programs": 3, "max_rounds": 2}, 8, Range(6 * 8 + 4, 6 * 8 + 4 * 12 * 2)),
        ({"num_candidate_programs": 0}, 0, Range(3 * 12 + 1, 3 * 12 + 12)),
        ({"num_candidate_programs": 3, "stop_at_score": 90.0}, 8, Range(8, 6 * 8 + 4 * 12)),
        ({"num_candidate_programs": 3, "restrict": [-3, -2, 1, 9]}, 8, Range(3 * 8 + 1, 3 * 8 + 12)),
    ],
)
def test_it_estimates_each_candidate_on_val_and_its_bootstrapping(
    params: dict[str, Any], val: int, expected: Range
) -> None:
    calls = BootstrapRandomSearch(params, Sizes(train=12, val=val, predictors=1)).calls()
    assert (calls.program, calls.own) == (expected, (0, 0))


@pytest.mark.parametrize("rounds", [1, 2])
def test_it_makes_the_least_with_an_lm_that_is_right_and_the_most_with_one_that_is_wrong(
    rounds: int, tmp_path: Path
) -> None:
    params = {"num_candidate_programs": 2, "max_bootstrapped_demos": 1, "max_rounds": rounds}
    (tmp_path / "other").mkdir()
    right = counted_search(tmp_path, NAME, params, answer=always(right=True))
    wrong = counted_search(tmp_path / "other", NAME, params, answer=always(right=False))
    assert right.program == right.estimated.program.least == 5 * 8 + 3
    assert wrong.program == wrong.estimated.program.most == 5 * 8 + 3 * 12 * rounds
    assert right.roles == wrong.roles == {"task", "teacher"}


@pytest.mark.parametrize(
    ("params", "val"),
    [
        ({"num_candidate_programs": 2}, 0),
        ({"num_candidate_programs": 2}, 8),
        ({"num_candidate_programs": 2, "restrict": [-3, 1]}, 8),
        ({"num_candidate_programs": 2, "stop_at_score": 50.0}, 8),
    ],
)
def test_it_makes_no_fewer_and_no_more_calls_than_estimated(params: dict[str, Any], val: int, tmp_path: Path) -> None:
    assert_within(counted_search(tmp_path, NAME, params, val=val))


@pytest.mark.parametrize("restrict", [[], [7, 8], 3])
def test_a_restriction_that_leaves_no_candidate_is_a_fault(restrict: Any) -> None:
    optimizer = BootstrapRandomSearch({"restrict": restrict, "num_candidate_programs": 5}, Sizes(12, 8, 1))
    assert optimizer.fault() == "restrict must list some of the numbers from -3 to 4"
