"""The calls of BootstrapFewShot, estimated and counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dspytrack.optimizers.bootstrap_few_shot import BootstrapFewShot
from dspytrack.optimizers.protocol import Range, Sizes
from tests.support.counted_searches import always, counted_search


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, Range(4, 12)),
        ({"max_bootstrapped_demos": 20}, Range(12, 12)),
        ({"max_bootstrapped_demos": 3, "max_rounds": 2}, Range(3, 24)),
        ({"max_bootstrapped_demos": 0, "max_rounds": 2}, Range(0, 0)),
    ],
)
def test_it_estimates_one_call_a_demo_to_one_an_example_and_round(params: dict[str, Any], expected: Range) -> None:
    calls = BootstrapFewShot(params, Sizes(train=12, val=8, predictors=2)).calls()
    assert (calls.program, calls.own) == (expected, (0, 0))


@pytest.mark.parametrize("rounds", [1, 2])
def test_it_makes_the_least_with_an_lm_that_is_right_and_the_most_with_one_that_is_wrong(
    rounds: int, tmp_path: Path
) -> None:
    params = {"max_bootstrapped_demos": 3, "max_rounds": rounds}
    (tmp_path / "other").mkdir()
    right = counted_search(tmp_path, "bootstrap_few_shot", params, answer=always(right=True))
    wrong = counted_search(tmp_path / "other", "bootstrap_few_shot", params, answer=always(right=False))
    assert right.program == right.estimated.program.least == 3
    assert wrong.program == wrong.estimated.program.most == 12 * rounds
    assert right.roles == wrong.roles == {"teacher"}


def test_without_bootstrapped_demos_it_makes_no_call(tmp_path: Path) -> None:
    assert counted_search(tmp_path, "bootstrap_few_shot", {"max_bootstrapped_demos": 0}).program == 0
