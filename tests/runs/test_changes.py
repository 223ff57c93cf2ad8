"""What differs between two requests, and which differences leave a run's outputs as they are."""

from __future__ import annotations

import pytest

from dspytrack.runs.changes import CAPS, Change, changes, raises_a_cap


def test_each_key_that_differs_is_named_with_what_it_was_and_is() -> None:
    before = {"seed": 0, "lm": {"options": {}}, "optimizer": [{"name": "copro", "params": {"depth": 1}}], "gone": 1}
    after = {"seed": 0, "lm": {"options": {"top_p": 1}}, "optimizer": [{"name": "copro", "params": {"depth": 2}}]}
    assert [str(one) for one in changes(before, after)] == [
        "gone was 1, is not set",
        "lm.options.top_p was not set, is 1",
        "optimizer.0.params.depth was 1, is 2",
    ]


def test_an_empty_mapping_is_no_setting() -> None:
    assert changes({"tracking": {"tags": {}}}, {"tracking": {"tags": {"a": "b"}}}) == [
        Change("tracking.tags.a", None, "b")
    ]


@pytest.mark.parametrize(
    ("key", "free"),
    [
        ("tracking.tags.team.name", True),
        ("constraints.max_tokens", True),
        ("teacher_lm.timeout", True),
        ("metric.lm.num_retries", True),
        ("teacher_lm.model", False),
        ("optimizer.0.params.timeout", False),
        ("registry.name", False),
    ],
)
def test_the_config_says_whether_a_run_may_be_resumed_with_a_change(key: str, free: bool) -> None:
    assert Change(key, 1, 2).is_free is free


def test_the_caps_are_those_that_the_config_marks_as_such() -> None:
    assert set(CAPS) == {"max_cost_usd", "max_lm_calls", "max_tokens", "max_optimization_time"}


@pytest.mark.parametrize(
    ("key", "was", "now", "raised"),
    [
        ("constraints.max_tokens", 5, 6, True),
        ("constraints.max_tokens", 5, None, True),
        ("constraints.max_tokens", 5, 4, False),
        ("constraints.max_tokens", None, 6, False),
        ("constraints.min_improvement_threshold", 0.1, 0.2, False),
    ],
)
def test_a_cap_is_raised_where_it_leaves_more_room_or_is_gone(
    key: str, was: float | None, now: float | None, raised: bool
) -> None:
    assert raises_a_cap([Change(key, was, now)]) is raised
