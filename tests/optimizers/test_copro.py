"""The calls of COPRO, estimated and counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dspytrack.optimizers.copro import Copro
from dspytrack.optimizers.protocol import Range, Sizes
from tests.support.counted_searches import Mood, MoodInTwoSteps, counted_search


@pytest.mark.parametrize(
    ("params", "predictors", "program", "own"),
    [
        ({}, 1, 10 * 3 * 12, Range(3, 29)),
        ({"breadth": 3, "depth": 2}, 1, 3 * 2 * 12, Range(2, 5)),
        ({"breadth": 3, "depth": 2}, 2, 2 * 3 * (1 + 2) * 12, Range(4, 10)),
        ({"breadth": 2, "depth": 4}, 3, 3 * 2 * (1 + 2 + 3 + 4) * 12, Range(12, 21)),
    ],
)
def test_it_estimates_each_instruction_on_train_and_earlier_ones_again_where_predictors_are_several(
    params: dict[str, Any], predictors: int, program: int, own: Range
) -> None:
    calls = Copro(params, Sizes(train=12, val=8, predictors=predictors)).calls()
    assert calls == ((program, program), own)


@pytest.mark.parametrize(("program", "breadth", "depth"), [(Mood, 3, 2), (MoodInTwoSteps, 2, 3)])
def test_it_makes_the_calls_that_were_estimated(program: type[Mood], breadth: int, depth: int, tmp_path: Path) -> None:
    search = counted_search(tmp_path, "copro", {"breadth": breadth, "depth": depth}, program=program)
    assert search.program == search.estimated.program.least == search.estimated.program.most
    assert search.own == search.estimated.own.most  # DSPy sends one request a proposal to this provider
    assert search.roles == {"task", "prompt"}
