"""The calls of SIMBA, estimated and counted, and the candidates that it leaves on its program."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import dspy
import pytest

from dspytrack.optimizers.protocol import Range, Sizes
from dspytrack.optimizers.simba import Simba
from tests.support.counted_searches import Mood, MoodInTwoSteps, always, assert_within, counted_search
from tests.support.lm_server import Answer, formed, wanted


def undecided() -> Answer:
    """An LM that is right every other time and gives advice in the form that SIMBA wants."""
    times, right, wrong = itertools.count(), always(right=True), always(right=False)

    def answer(body: dict[str, Any]) -> str:
        text = str(body["messages"][-1]["content"])
        if "module_advice" in text:
            advice = dict.fromkeys(("name", "notes"), "Look at the adjective.")
            values = {name: json.dumps(advice) if name == "module_advice" else "So it is." for name in wanted(text)}
            return formed(values, text)
        return (right, wrong)[next(times) % 2](body)

    return answer


@pytest.mark.parametrize(
    ("params", "train", "program", "own"),
    [
        ({}, 12, Range(8 * 12 * 6 + 12, 8 * 12 * (6 + 7) + 7 * 12), Range(0, 8 * 12)),
        ({}, 100, Range(8 * 32 * 6 + 100, 8 * 32 * (6 + 7) + 7 * 100), Range(0, 8 * 32)),
        (
            {"bsize": 4, "max_steps": 2, "num_candidates": 3},
            12,
            Range(2 * 4 * 3 + 12, 2 * 4 * (3 + 4) + 3 * 12),
            Range(0, 8),
        ),
        (
            {"bsize": 2, "max_steps": 5, "num_candidates": 3},
            12,
            Range(5 * 2 * 3 + 12, 5 * 2 * (3 + 2) + 4 * 12),
            Range(0, 10),
        ),
    ],
)
def test_it_estimates_trajectories_candidates_and_winners(
    params: dict[str, Any], train: int, program: Range, own: Range
) -> None:
    assert Simba(params, Sizes(train=train, val=8, predictors=2)).calls() == (program, own)


@pytest.mark.parametrize(
    ("params", "program"),
    [
        ({"bsize": 4, "max_steps": 3, "num_candidates": 2}, Mood),
        ({"bsize": 2, "max_steps": 2, "num_candidates": 4}, MoodInTwoSteps),
    ],
)
def test_it_makes_the_most_where_every_candidate_can_be_made(
    params: dict[str, Any], program: type[Mood], tmp_path: Path
) -> None:
    search = counted_search(tmp_path, "simba", params, program=program, answer=always(right=True))
    assert search.program == search.estimated.program.most
    assert (search.own, search.roles) == (0, {"task"})  # of equal runs there is nothing to learn


@pytest.mark.parametrize("demos", [0, 4])
def test_it_makes_no_more_calls_than_estimated_where_runs_differ(demos: int, tmp_path: Path) -> None:
    params = {"bsize": 4, "max_steps": 3, "num_candidates": 3, "max_demos": demos}
    search = counted_search(tmp_path, "simba", params, program=MoodInTwoSteps, answer=undecided())
    assert_within(search)
    assert search.own > 0 and search.roles == {"task", "prompt"}


def test_a_batch_is_no_larger_than_train_by_default() -> None:
    assert Simba({}, Sizes(12, 0, 1)).arguments == {"bsize": 12}
    assert Simba({}, Sizes(40, 0, 1)).arguments == {"bsize": 32}
    assert Simba({"bsize": 40}, Sizes(40, 0, 1)).fault() is None
    assert Simba({"bsize": 41}, Sizes(40, 0, 1)).fault() == "bsize 41 needs as many train examples, there are 40"


def test_its_candidates_are_the_winners_that_dspy_leaves_on_the_program() -> None:
    found, other = dspy.Predict("text -> label"), dspy.Predict("text -> label")
    found.candidate_programs = [{"score": 0.75, "program": other}, {"score": 0.5, "program": found}]
    assert Simba({}, Sizes(12, 0, 1)).scored_candidates(found) == [(other, 0.75), (found, 0.5)]
