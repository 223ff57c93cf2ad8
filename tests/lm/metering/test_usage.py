"""Bills and their sum: what is unknown stays unknown, and costs add up exactly."""

from __future__ import annotations

import pytest

from dspytrack.lm.metering.usage import Bill, Tally, to_femto
from dspytrack.results.values import RoleUsage


def tally(*bills: Bill) -> Tally:
    """The sum of some bills."""
    total = Tally()
    for bill in bills:
        total.add(bill)
    return total


@pytest.mark.parametrize(("prompt", "completion", "tokens"), [(12, 3, 15), (None, 3, None), (12, None, None)])
def test_the_tokens_of_a_bill_are_known_where_both_of_its_counts_are(
    prompt: int | None, completion: int | None, tokens: int | None
) -> None:
    assert Bill("task", prompt, completion, 0.0).tokens == tokens


def test_a_tally_sums_calls_tokens_and_cost() -> None:
    total = tally(Bill("task", 12, 3, 0.25), Bill("task", 20, 5, 0.5))
    assert (total.calls, total.prompt_tokens, total.completion_tokens, total.tokens) == (2, 32, 8, 40)
    assert (total.cost_usd, total.known_usd) == (0.75, 0.75)
    assert (total.known_prompt_tokens, total.known_completion_tokens) == (32, 8)


def test_the_sum_of_costs_does_not_depend_on_the_order_of_the_calls() -> None:
    costs = [0.1, 1e-9, 0.2, 3e-7, 0.3]
    sums = {tally(*(Bill("task", 1, 1, cost) for cost in order)).cost_usd for order in (costs, costs[::-1])}
    assert sums == {0.6000003010}
    assert to_femto(0.1) == 10**14


def test_one_call_of_unknown_cost_makes_the_cost_of_all_unknown_and_leaves_what_is_known_for_the_caps() -> None:
    total = tally(Bill("task", 12, 3, 0.25), Bill("task", 20, 5, None))
    assert (total.cost_usd, total.known_usd, total.unpriced, total.unreported) == (None, 0.25, 1, 0)
    assert total.usage().cost_usd is None


def test_one_call_of_unknown_tokens_makes_the_tokens_of_all_unknown_and_leaves_what_is_known_for_the_caps() -> None:
    total = tally(Bill("task", 12, 3, 0.25), Bill("task", None, 5, 0.25))
    assert (total.known_prompt_tokens, total.known_completion_tokens, total.unreported) == (None, None, 1)
    assert (total.tokens, total.cost_usd) == (20, 0.5)


def test_a_call_that_timed_out_is_counted_as_such_and_adds_nothing_else() -> None:
    total = tally(Bill("task", 12, 3, 0.25, timed_out=True))
    assert total == Tally(timed_out=1)


def test_a_replayed_response_brings_the_time_it_took_then() -> None:
    total = Tally()
    total.replay(Bill("task", 12, 3, 0.25, seconds=0.5))
    total.replay(Bill("task", 12, 3, 0.25, seconds=0.25))
    assert (total.calls, total.replayed_seconds) == (2, 0.75)


def test_one_replayed_response_of_unknown_time_makes_the_time_of_all_unknown_for_good() -> None:
    total = Tally()
    for seconds in (0.5, None, 0.5):
        total.replay(Bill("task", 12, 3, 0.25, seconds=seconds))
    assert total.replayed_seconds is None


def test_two_tallies_add_up_in_every_count() -> None:
    one = Tally(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, waited_seconds=0.5)
    one.include(Tally(10, 20, 30, 40, 50, 60, 70, 80, 90, 100, waited_seconds=0.25))
    assert one == Tally(11, 22, 33, 44, 55, 66, 77, 88, 99, 110, waited_seconds=0.75)


def test_the_use_of_a_role_is_its_tally_by_the_names_that_are_logged() -> None:
    total = Tally(1, 2, 3, 4, 5, 6, 7, 8 * 10**15)
    assert total.usage() == RoleUsage(
        calls=1,
        cached_calls=2,
        failed_calls=3,
        retried_calls=4,
        timed_out_calls=5,
        prompt_tokens=6,
        completion_tokens=7,
        cost_usd=8.0,
    )
