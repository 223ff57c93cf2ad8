"""Which cap one more call would exceed, or the clock has."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from dspytrack.config.schema import Constraints
from dspytrack.lm.metering.limits import broken_by_call, broken_by_clock, is_capped, is_spending_capped
from dspytrack.lm.metering.reserve import Reserve
from dspytrack.lm.metering.usage import Bill, Tally, to_femto

CALL = ("task", 100)
SPENT = Tally(calls=8, prompt_tokens=700, completion_tokens=100, femto_usd=to_femto(0.8))


def broken(
    cap: dict[str, Any], in_flight: int = 0, seconds: float = 80, timed_out: int = 0, aside: Reserve | None = None
) -> str | None:
    """The cap that a call would exceed which may take 100 tokens, 0.1 USD and 10 s, after eight such calls."""
    reserve = aside or Reserve()
    reserve.learn(Bill("task", 90, 10, 0.1, seconds=10, prompt_chars=100))
    return broken_by_call(
        Constraints(**cap),
        CALL,
        used={"task": SPENT, "judge": Tally(timed_out=timed_out)},
        seconds=seconds,
        in_flight=Counter({CALL: in_flight}),
        reserve=reserve,
    )


def set_aside() -> Reserve:
    """What a baseline of one such call sets aside: one call, 200 tokens, 0.2 USD, 20 s."""
    reserve = Reserve()
    used = Tally(calls=1, prompt_tokens=90, completion_tokens=10, femto_usd=to_femto(0.1))
    reserve.set_aside({"task": used}, seconds=10, window=16)
    return reserve


@pytest.mark.parametrize(("name", "unit"), [("max_lm_calls", 1), ("max_tokens", 100), ("max_cost_usd", 0.1)])
def test_a_call_may_start_where_it_and_those_in_flight_reach_the_cap_and_not_where_they_exceed_it(
    name: str, unit: float
) -> None:
    cap = {name: 10 * unit}
    assert broken(cap, in_flight=1) is None
    assert broken(cap, in_flight=2) == f"{name} {10 * unit:g} reached (used {8 * unit:g})"


def test_a_call_may_start_where_it_usually_ends_within_the_cap_on_time() -> None:
    cap = {"max_optimization_time": 100}
    assert broken(cap, seconds=90, in_flight=5) is None
    assert broken(cap, seconds=91) == "max_optimization_time 100 reached (used 91)"


@pytest.mark.parametrize(
    ("name", "cap", "aside"),
    [
        ("max_lm_calls", 10, "1"),
        ("max_tokens", 1100, "200"),
        ("max_cost_usd", 1.1, "0.2"),
        ("max_optimization_time", 110, "20"),
    ],
)
def test_what_is_set_aside_counts_as_used_until_the_final_evaluation(name: str, cap: float, aside: str) -> None:
    late = {"seconds": 81 if name == "max_optimization_time" else 80, "in_flight": 1 if name == "max_lm_calls" else 2}
    assert broken({name: cap}, **late) is None  # type: ignore[arg-type]
    said = broken({name: cap}, aside=set_aside(), **late)  # type: ignore[arg-type]
    assert said is not None and said.endswith(f", {aside} set aside for the final evaluation)")


def test_a_call_that_timed_out_counts_as_one_that_is_still_in_flight() -> None:
    assert broken({"max_lm_calls": 10}, timed_out=1) is None
    assert broken({"max_lm_calls": 10}, timed_out=2) == "max_lm_calls 10 reached (used 8)"


@pytest.mark.parametrize(("name", "used"), [("max_tokens", 800), ("max_cost_usd", 0.8)])
def test_a_cap_that_is_used_up_lets_no_call_start_of_which_nothing_is_known(name: str, used: float) -> None:
    for cap, is_broken in ((used, True), (used * 1.01, False)):
        said = broken_by_call(
            Constraints(**{name: cap}),  # type: ignore[arg-type]
            CALL,
            used={"task": SPENT},
            seconds=0,
            in_flight=Counter(),
            reserve=Reserve(),
        )
        assert (said is not None) == is_broken


def test_the_use_of_all_roles_counts_together() -> None:
    said = broken_by_call(
        Constraints(max_lm_calls=16),
        CALL,
        used={"task": SPENT, "teacher": SPENT},
        seconds=0,
        in_flight=Counter(),
        reserve=Reserve(),
    )
    assert said == "max_lm_calls 16 reached (used 16)"


def test_without_a_cap_nothing_ends_a_run() -> None:
    assert broken({}, in_flight=10**6, seconds=10**9) is None
    assert broken_by_clock(Constraints(), 10**9, Reserve()) is None


def test_the_time_is_up_once_the_cap_without_what_is_set_aside_is_reached() -> None:
    caps = Constraints(max_optimization_time=100)
    assert broken_by_clock(caps, 99.9, Reserve()) is None
    assert broken_by_clock(caps, 100, Reserve()) == "max_optimization_time 100 reached (used 100)"
    assert broken_by_clock(caps, 79.9, set_aside()) is None
    said = "max_optimization_time 100 reached (used 80, 20 set aside for the final evaluation)"
    assert broken_by_clock(caps, 80, set_aside()) == said


@pytest.mark.parametrize(
    ("caps", "capped", "spending"),
    [
        ({}, False, False),
        ({"max_lm_calls": 1}, True, False),
        ({"max_optimization_time": 1}, True, False),
        ({"max_tokens": 1}, True, True),
        ({"max_cost_usd": 1}, True, True),
    ],
)
def test_tokens_and_money_are_known_only_once_a_call_has_finished(
    caps: dict[str, Any], capped: bool, spending: bool
) -> None:
    assert (is_capped(Constraints(**caps)), is_spending_capped(Constraints(**caps))) == (capped, spending)
