"""Which cap one more call would exceed, or the clock has exceeded, in words.

Not locked: the meter that asks holds its lock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from dspytrack.config.schema import Constraints
from dspytrack.lm.metering.reserve import Reserve
from dspytrack.lm.metering.usage import Tally


def is_spending_capped(caps: Constraints) -> bool:
    """Whether there is a cap on what is known only once a call has finished."""
    return caps.max_tokens is not None or caps.max_cost_usd is not None


def is_capped(caps: Constraints) -> bool:
    """Whether there is any cap."""
    return is_spending_capped(caps) or caps.max_lm_calls is not None or caps.max_optimization_time is not None


def broken_by_call(
    caps: Constraints,
    call: tuple[str, int],
    *,
    used: Mapping[str, Tally],
    seconds: float,
    in_flight: Counter[tuple[str, int]],
    reserve: Reserve,
) -> str | None:
    """Which cap one more call would exceed. A call that timed out counts as one that is still in flight.

    Args:
        caps: the run's.
        call: the role of the LM that is asked, and the length of what it is asked (characters).
        used: by all finished calls, by role.
        seconds: of wall time the run took so far.
        in_flight: calls that have started and not finished.
        reserve: what is set aside.
    """
    total = Tally()
    for tally in used.values():
        total.include(tally)
    timed_out = Counter({(role, 0): tally.timed_out for role, tally in used.items()})
    flying, kept = in_flight + timed_out + Counter({call: 1}), reserve.kept
    may, seconds_more = reserve.for_calls(flying.items()), reserve.usual_seconds(call[0])
    limits: tuple[tuple[str, float | None, float, float, float], ...] = (
        ("max_lm_calls", caps.max_lm_calls, total.calls, flying.total(), kept.calls),
        ("max_tokens", caps.max_tokens, total.tokens, may.tokens, kept.tokens),
        ("max_cost_usd", caps.max_cost_usd, total.known_usd, may.known_usd, kept.known_usd),
        ("max_optimization_time", caps.max_optimization_time, seconds, seconds_more, reserve.seconds),
    )
    for name, cap, spent, next_ones, set_aside in limits:
        if cap is not None and (spent + next_ones > cap - set_aside or spent >= cap - set_aside):
            return _reached(name, cap, spent, set_aside)
    return None


def broken_by_clock(caps: Constraints, seconds: float, reserve: Reserve) -> str | None:
    """Whether the time is used up, whatever is under way."""
    cap = caps.max_optimization_time
    if cap is None or seconds < cap - reserve.seconds:
        return None
    return _reached("max_optimization_time", cap, seconds, reserve.seconds)


def _reached(name: str, cap: float, spent: float, set_aside: float) -> str:
    part = f", {set_aside:g} set aside for the final evaluation" if set_aside else ""
    return f"{name} {cap:g} reached (used {spent:g}{part})"
