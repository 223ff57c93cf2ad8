"""The calls of GEPA, estimated and counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dspytrack.optimizers.gepa import Gepa
from dspytrack.optimizers.protocol import Range, Sizes
from tests.support.counted_searches import Mood, MoodInTwoSteps, always, assert_within, counted_search
from tests.support.lm_server import Answer, classify


@pytest.mark.parametrize(
    ("params", "val", "program", "own"),
    [
        ({"max_metric_calls": 60}, 8, Range(60, 59 + 2 * 3 + 8), Range(0, 18)),
        ({"max_metric_calls": 60, "reflection_minibatch_size": 2}, 8, Range(60, 59 + 5 + 8), Range(0, 26)),
        ({"max_metric_calls": 60, "component_selector": "all"}, 8, Range(60, 59 + 6 + 8), Range(0, 36)),
        ({"max_metric_calls": 8}, 8, Range(8, 8), Range(0, 0)),
        ({"max_metric_calls": 9}, 8, Range(9, 8 + 6 + 8), Range(0, 1)),
        ({"max_full_evals": 3}, 8, Range(60, 59 + 6 + 8), Range(0, 18)),
        ({"max_full_evals": 3}, 0, Range(36, 35 + 6 + 12), Range(0, 8)),
        ({}, 8, Range(778, 777 + 6 + 8), Range(0, 257)),
        ({"auto": "medium"}, 8, Range(1096, 1095 + 6 + 8), Range(0, 363)),
    ],
)
def test_it_estimates_its_budget_and_the_step_that_may_overrun_it(
    params: dict[str, Any], val: int, program: Range, own: Range
) -> None:
    assert Gepa(params, Sizes(train=12, val=val, predictors=2)).calls() == (program, own)


@pytest.mark.parametrize(
    ("params", "val", "program", "answer"),
    [
        ({"max_metric_calls": 30}, 8, Mood, classify),
        ({"max_metric_calls": 31, "reflection_minibatch_size": 1}, 8, Mood, classify),
        ({"max_metric_calls": 31}, 8, Mood, always(right=True)),
        ({"max_metric_calls": 30}, 8, Mood, always(right=False)),
        ({"max_metric_calls": 5}, 8, Mood, classify),
        ({"max_full_evals": 2, "component_selector": "all"}, 8, MoodInTwoSteps, classify),
        ({"max_full_evals": 2}, 0, Mood, classify),
    ],
)
def test_it_makes_no_fewer_and_no_more_calls_than_estimated(
    params: dict[str, Any], val: int, program: type[Mood], answer: Answer, tmp_path: Path
) -> None:
    search = counted_search(tmp_path, "gepa", params, val=val, program=program, answer=answer)
    assert_within(search)
    assert search.roles == ({"task", "reflection"} if search.own else {"task"})


def test_what_it_takes_is_unknown_where_arguments_for_gepa_itself_may_change_its_steps() -> None:
    assert Gepa({"gepa_kwargs": {"cache_evaluation": True}}, Sizes(12, 8, 1)).calls() is None
    assert Gepa({"gepa_kwargs": {}}, Sizes(12, 8, 1)).calls() is not None


def test_it_is_given_a_budget_where_the_config_names_none() -> None:
    assert Gepa({}, Sizes(12, 8, 1)).arguments == {"auto": "light"}
    assert Gepa({"max_full_evals": 2}, Sizes(12, 8, 1)).arguments == {"max_full_evals": 2}


def test_two_budgets_are_a_fault() -> None:
    assert Gepa({"max_metric_calls": 9}, Sizes(12, 8, 1)).fault() is None
    both = Gepa({"auto": "light", "max_metric_calls": 9, "max_full_evals": None}, Sizes(12, 8, 1))
    assert both.fault() == "give one budget, not auto and max_metric_calls"
