"""What a cap holds back: twice the baseline for the final evaluation, and the most that calls in flight may take."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from dspytrack.lm.metering.reserve import SEEN, Reserve
from dspytrack.lm.metering.usage import Bill, Tally, to_femto

BASELINE = {
    "task": Tally(calls=10, prompt_tokens=1000, completion_tokens=100, femto_usd=to_femto(0.1)),
    "judge": Tally(calls=10, prompt_tokens=50, completion_tokens=10, femto_usd=to_femto(0.01)),
}


def task(prompt: int | None = 300, completion: int | None = 40, cost: float | None = 0.05, **values: float) -> Bill:
    """The bill of a call of the program; 100 characters were asked."""
    return Bill("task", prompt, completion, cost, **({"prompt_chars": 100} | values))  # type: ignore[arg-type]


def reserve(*bills: Bill, window: int = 2) -> Reserve:
    """What is set aside after a baseline and some calls of the search."""
    found = Reserve()
    found.set_aside(BASELINE, seconds=30, window=window)
    for bill in bills:
        found.learn(bill)
    return found


def kept(found: Reserve) -> tuple[int, int, int, float]:
    """The calls, prompt tokens, completion tokens and USD that are set aside."""
    return found.kept.calls, found.kept.prompt_tokens, found.kept.completion_tokens, round(found.kept.known_usd, 12)


def test_as_many_calls_as_the_baseline_made_are_set_aside_and_twice_its_tokens_cost_and_time() -> None:
    found = reserve()
    assert kept(found) == (20, 2100, 220, 0.22)
    assert found.seconds == 60


def test_nothing_is_set_aside_before_the_baseline_and_after_the_search() -> None:
    for found in (Reserve(), reserve()):
        found.release()
        found.learn(task())
        assert (kept(found), found.seconds) == ((0, 0, 0, 0.0), 0.0)
    assert kept(Reserve()) == (0, 0, 0, 0.0)


def test_more_is_set_aside_once_candidates_turn_out_to_take_more() -> None:
    # the mean of two calls, times the ten of the program, a quarter more; and what the judge took, twice
    assert kept(reserve(task(300, 40, 0.05), task(500, 60, 0.07))) == (20, 100 + 5000, 20 + 625, 0.02 + 0.75)


def test_what_is_set_aside_never_shrinks() -> None:
    cheap = [task(1, 1, 0.0001)] * 4
    assert kept(reserve(*cheap)) == kept(reserve())
    assert kept(reserve(task(), task(), *cheap)) == kept(reserve(task(), task()))


def test_tokens_and_cost_grow_each_by_itself() -> None:
    assert kept(reserve(*[task(300, 40, 0.0)] * 2)) == (20, 3850, 520, 0.22)
    assert kept(reserve(*[task(1, 1, 0.05)] * 2)) == (20, 2100, 220, 0.645)


@pytest.mark.parametrize(
    "bills",
    [[task()], [task(), Bill("teacher", 900, 90, 0.9)], [task(), task(timed_out=True)]],
    ids=["fewer calls than the window", "calls of another LM", "calls that timed out"],
)
def test_only_as_many_finished_calls_of_the_program_as_one_window_has_change_what_is_set_aside(
    bills: Iterable[Bill],
) -> None:
    assert kept(reserve(*bills)) == kept(reserve())


def test_a_window_is_one_call_at_least() -> None:
    assert kept(reserve(task(), window=0)) == kept(reserve(task(), window=1)) != kept(reserve())


def test_unknown_tokens_and_costs_count_as_none() -> None:
    assert kept(reserve(task(None, None, None), task(None, None, None))) == kept(reserve())


def test_a_role_is_known_after_its_first_finished_call() -> None:
    found = reserve()
    found.learn(task(timed_out=True))
    assert not found.knows("task")
    found.learn(task())
    assert found.knows("task") and not found.knows("judge")


def test_a_call_usually_takes_the_median_of_the_last_ones_and_one_that_hung_does_not_count() -> None:
    found = reserve(*(task(seconds=seconds) for seconds in (1.0, 2.0, 600.0)))
    assert found.usual_seconds("task") == 2.0
    assert found.usual_seconds("judge") == 0.0
    assert reserve(task(), task(seconds=4.0)).usual_seconds("task") == 2.0


def test_calls_in_flight_may_each_take_what_the_most_expensive_of_the_last_ones_took() -> None:
    found = reserve(task(300, 40, 0.05), task(100, 10, 0.08))
    may = found.for_calls([(("task", 100), 3), (("judge", 100), 5)])
    assert (may.tokens, round(may.known_usd, 12)) == (3 * 340, 0.24)


def test_only_the_last_calls_of_a_role_say_what_the_next_one_may_take() -> None:
    assert reserve(task(9000), *[task()] * (SEEN - 1)).for_calls([(("task", 0), 1)]).tokens == 9040
    assert reserve(task(9000), *[task()] * SEEN).for_calls([(("task", 0), 1)]).tokens == 340


def test_a_longer_prompt_than_any_before_adds_tokens_and_cost_in_proportion() -> None:
    found = reserve(task(300, 40, 0.034), task(100, 40, 0.014))
    assert found.for_calls([(("task", 100), 1)]).tokens == 340
    assert found.for_calls([(("task", 101), 1)]).tokens == 343
    longer = found.for_calls([(("task", 200), 2)])
    assert (longer.tokens, round(longer.known_usd, 12)) == (2 * 640, 0.128)


def test_a_longer_prompt_adds_nothing_where_no_length_was_measured() -> None:
    assert reserve(task(prompt_chars=0)).for_calls([(("task", 5000), 1)]).tokens == 340


def test_calls_of_unknown_tokens_may_cost_what_the_last_ones_did() -> None:
    may = reserve(task(None, None, 0.05)).for_calls([(("task", 500), 2)])
    assert (may.tokens, round(may.known_usd, 12)) == (0, 0.1)
