"""The meter: what it counts, which calls it lets start, and when it ends a run."""

from __future__ import annotations

import threading
import time

import pytest

from dspytrack.config.schema import Constraints
from dspytrack.errors import RunStop
from dspytrack.lm.metering.meter import Meter
from dspytrack.lm.metering.usage import Bill, Tally

BILL = Bill("task", 90, 10, 0.1, seconds=1, prompt_chars=100)
FAILURE = ConnectionError("refused")


def answered(meter: Meter, bill: Bill = BILL) -> None:
    """Let a call start and count its response."""
    assert meter.admit(bill.role, bill.prompt_chars)
    meter.billed(bill)


def test_a_billed_call_is_counted_by_role_and_is_in_flight_no_more() -> None:
    meter = Meter()
    assert meter.admit("task", 100)
    assert meter.in_flight == 1
    meter.billed(BILL)
    answered(meter, Bill("judge", 1, 1, 0.0))
    assert meter.in_flight == 0
    assert {role: used.calls for role, used in meter.by_role.items()} == {"task": 1, "judge": 1}
    assert (meter.total.calls, meter.total.tokens) == (2, 102)
    assert list(meter.usage()) == ["judge", "task"]
    assert meter.stopped is None


def test_a_call_is_in_flight_until_it_has_finished() -> None:
    meter = Meter()
    for _ in range(2):
        meter.admit("task", 7)
    meter.finished("task", 7)
    assert meter.in_flight == 1
    meter.finished("task", 7)
    assert (meter.in_flight, dict(meter._in_flight)) == (0, {})


def test_what_happens_to_calls_is_counted() -> None:
    meter = Meter()
    for count in (meter.cached, meter.retried):
        count("task")
        count("task")
    meter.failed("task", FAILURE, fatal=False)
    meter.timed_out(Bill("task", None, None, None, timed_out=True))
    assert meter.total == Tally(cached=2, retried=2, failed=1, timed_out=1)


def test_the_use_by_role_is_as_it_was_when_it_was_asked_for() -> None:
    meter = Meter()
    meter.cached("task")
    before = meter.by_role
    meter.cached("task")
    assert before["task"].cached == 1


def test_a_later_attempt_continues_the_counts_and_the_clock() -> None:
    meter = Meter()
    meter.begin_attempt([BILL, BILL], 40)
    assert meter.total.calls == 2
    assert 40 <= meter.seconds < 45
    assert meter.reserve.knows("task")


@pytest.mark.parametrize("cap", [{"max_tokens": 1000}, {"max_cost_usd": 1}])
def test_where_spending_is_capped_the_first_call_of_a_role_goes_alone(cap: dict[str, int]) -> None:
    meter = Meter(Constraints(**cap))  # type: ignore[arg-type]
    assert meter.admit("task", 100)
    assert not meter.admit("task", 100)
    assert meter.admit("judge", 100)
    meter.billed(BILL)
    assert meter.admit("task", 100) and meter.admit("task", 100)


def test_where_only_calls_are_capped_none_waits_for_the_first() -> None:
    meter = Meter(Constraints(max_lm_calls=5))
    assert meter.admit("task") and meter.admit("task")


@pytest.mark.parametrize("trouble", ["failed", "retried", "timed_out"])
def test_calls_do_not_wait_for_the_first_of_their_role_where_one_has_had_trouble(trouble: str) -> None:
    meter = Meter(Constraints(max_tokens=10**6))
    if trouble == "failed":
        meter.failed("task", FAILURE, fatal=False)
    elif trouble == "retried":
        meter.retried("task")
    else:
        meter.timed_out(Bill("task", None, None, None, timed_out=True))
    assert meter.admit("task") and meter.admit("task")


def test_a_call_beyond_a_cap_ends_the_run_and_every_later_call_ends_it_again() -> None:
    meter = Meter(Constraints(max_lm_calls=1))
    meter.admit("task", 100)
    with pytest.raises(RunStop, match=r"max_lm_calls 1 reached \(used 0\)") as stop:
        meter.admit("task", 100)
    assert stop.value.reason == "budget"
    for ask in (meter.check, lambda: meter.wait(60), lambda: meter.admit("judge")):
        with pytest.raises(RunStop, match="max_lm_calls"):
            ask()


def test_what_is_set_aside_is_kept_from_the_search_and_free_once_the_search_is_over() -> None:
    meter = Meter(Constraints(max_lm_calls=3))
    answered(meter)
    meter.set_aside(meter.by_role, 1.0, 1)
    meter.admit("task", 100)
    with pytest.raises(RunStop, match="1 set aside"):
        meter.admit("task", 100)
    meter.release()
    assert meter.admit("task", 100) and meter.stopped is None


def test_after_a_reached_cap_waiting_is_no_longer_cut_short() -> None:
    meter = Meter(Constraints(max_lm_calls=1))
    meter.stop("budget", "x")
    meter.release()
    started = time.monotonic()
    meter.wait(0.05)
    assert time.monotonic() - started >= 0.04


def test_an_interruption_outlasts_the_end_of_the_search() -> None:
    meter = Meter()
    meter.stop("interrupted", "by SIGINT")
    meter.release()
    with pytest.raises(RunStop, match="by SIGINT"):
        meter.check()


def test_work_of_a_search_that_is_over_makes_no_more_calls() -> None:
    meter = Meter()
    phase = meter.phase
    meter.check(phase)
    meter.release()
    meter.check()
    meter.check(meter.phase)
    with pytest.raises(RunStop, match="the search is over") as stop:
        meter.check(phase)
    assert stop.value.reason == "budget"


def test_a_run_ends_at_too_many_failures_in_a_row_and_a_response_begins_the_count_anew() -> None:
    meter = Meter(max_consecutive_failures=3)
    for _ in range(2):
        meter.failed("task", FAILURE, fatal=False)
    answered(meter)
    for _ in range(2):
        meter.failed("task", FAILURE, fatal=False)
    assert meter.stopped is None
    meter.failed("task", FAILURE, fatal=False)
    assert meter.stopped is not None and meter.stopped.reason == "unreachable"
    assert str(meter.stopped) == "3 LM calls in a row failed, the last with: refused"


def test_a_run_ends_where_the_provider_refuses_a_call() -> None:
    meter = Meter()
    meter.failed("task", PermissionError("no such key"), fatal=True)
    assert meter.stopped is not None and meter.stopped.reason == "unreachable"
    assert str(meter.stopped) == "the LM provider refused the call: no such key"


def test_a_failure_after_the_end_changes_nothing_in_its_reason() -> None:
    meter = Meter(Constraints(max_cost_usd=1))
    meter.admit("task")
    meter.stop("interrupted", "by SIGINT")
    meter.failed("task", FAILURE, fatal=True)
    meter.billed(Bill("task", None, None, None))
    assert str(meter.stopped) == "by SIGINT"
    assert meter.total.failed == 1


@pytest.mark.parametrize(
    ("cap", "bill", "what"),
    [("max_cost_usd", Bill("task", 1, 1, None), "cost"), ("max_tokens", Bill("task", None, 1, 0.0), "tokens")],
)
def test_a_cap_that_cannot_be_kept_ends_the_run_and_no_other_cap_does(cap: str, bill: Bill, what: str) -> None:
    capped, other = Meter(Constraints(**{cap: 100})), Meter(Constraints(max_lm_calls=100))  # type: ignore[arg-type]
    for meter in (capped, other):
        answered(meter, bill)
    said = f"a call of the task LM reported no {what}, so {cap} cannot be kept"
    assert (str(capped.stopped), capped.stopped and capped.stopped.reason) == (said, "budget")
    assert other.stopped is None


def test_the_time_of_earlier_attempts_counts_for_the_cap() -> None:
    meter = Meter(Constraints(max_optimization_time=100))
    assert not meter.time_is_up() and meter.stopped is None
    meter.begin_attempt([], 100)
    assert meter.time_is_up()
    assert meter.stopped is not None and meter.stopped.reason == "budget"
    assert "max_optimization_time 100 reached" in str(meter.stopped)


def test_time_that_is_up_is_no_new_reason_for_a_run_that_ends() -> None:
    meter = Meter(Constraints(max_optimization_time=100))
    meter.stop("interrupted", "by SIGINT")
    meter.begin_attempt([], 100)
    assert meter.time_is_up() and str(meter.stopped) == "by SIGINT"


def test_the_end_of_a_run_waits_for_the_calls_in_flight_and_not_for_ever() -> None:
    meter = Meter()
    meter.admit("task", 100)
    started = time.monotonic()
    meter.settle(0.1)
    assert 0.1 <= time.monotonic() - started < 5
    threading.Timer(0.1, meter.billed, [BILL]).start()
    meter.settle(60)
    assert (meter.in_flight, meter.total.calls) == (0, 1)
    assert time.monotonic() - started < 10
