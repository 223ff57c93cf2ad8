"""The meter that every LM call passes: counts use by role, holds the caps, ends a run from inside a call.

Owns the counting and the decision to stop. Which cap a call would break, `limits.py` says.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from dspytrack.config.masking import masked
from dspytrack.config.schema import Constraints
from dspytrack.errors import RunStop
from dspytrack.lm.metering import limits
from dspytrack.lm.metering.reserve import Reserve
from dspytrack.lm.metering.usage import Bill, Tally
from dspytrack.results.values import RoleUsage


@dataclass
class Meter:
    """Use of a run so far, against its caps. Shared by every LM of the run and by its threads."""

    caps: Constraints = field(default_factory=Constraints)
    max_consecutive_failures: int = 20
    seconds_before: float = 0.0
    roles: dict[str, Tally] = field(default_factory=dict)
    reserve: Reserve = field(default_factory=Reserve)
    phase: int = 0
    _stop: RunStop | None = None
    _failures_in_a_row: int = 0
    _in_flight: Counter[tuple[str, int]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._started = time.monotonic()
        self._spends, self._capped = limits.is_spending_capped(self.caps), limits.is_capped(self.caps)
        # protects the tallies, the counters and the stop; a signal may come while its own thread holds it
        self._lock = threading.RLock()
        self._stopping = threading.Event()  # wakes those who wait between two tries

    @property
    def seconds(self) -> float:
        """Wall time of the run, earlier attempts included."""
        return self.seconds_before + time.monotonic() - self._started

    def begin_attempt(self, billed: Iterable[Bill], seconds: float) -> None:
        """Start the clock, and continue the counts of earlier attempts.

        Args:
            billed: what they were billed.
            seconds: that they took.
        """
        with self._lock:
            self.seconds_before, self._started = seconds, time.monotonic()
            for bill in billed:
                self.roles.setdefault(bill.role, Tally()).add(bill)
                self.reserve.learn(bill)

    def set_aside(self, baseline: Mapping[str, Tally], seconds: float, window: int) -> None:
        """Keep for the final evaluation what it will need: see `Reserve.set_aside`."""
        with self._lock:
            self.reserve.set_aside(baseline, seconds, window)

    def learn(self, bill: Bill) -> None:
        """Learn what a call takes from one that an earlier attempt was billed for."""
        with self._lock:
            self.reserve.learn(bill)

    @property
    def by_role(self) -> dict[str, Tally]:
        """Use so far by role, as it is now."""
        with self._lock:
            return {role: replace(tally) for role, tally in self.roles.items()}

    @property
    def total(self) -> Tally:
        """All roles together."""
        total = Tally()
        with self._lock:
            for one in self.roles.values():
                total.include(one)
        return total

    def admit(self, role: str, chars: int = 0) -> bool:
        """Let a billed call start, or end the run.

        Where tokens or money are capped and no call of the role has finished yet, one goes alone: what it takes says
        how many there may be at once.

        Args:
            role: of the LM that is asked.
            chars: length of what it is asked.

        Returns:
            Whether it may start; False where it has to wait for the first call of its role.

        Raises:
            RunStop: where the run is to end, or where the call and those in flight, with what is set aside, would
                exceed a cap.
        """
        with self._lock:
            self._check()
            if self._must_learn_of(role) and any(one[0] == role for one in self._in_flight):
                return False
            if self._capped:
                reached = limits.broken_by_call(
                    self.caps,
                    (role, chars),
                    used=self.roles,
                    seconds=self.seconds,
                    in_flight=self._in_flight,
                    reserve=self.reserve,
                )
                if reached:
                    self._end("budget", reached)
            self._check()
            self._in_flight[role, chars] += 1
            return True

    def finished(self, role: str, chars: int = 0) -> None:
        """An admitted call is in flight no more, with or without a response."""
        with self._lock:
            self._in_flight[role, chars] -= 1
            if not self._in_flight[role, chars]:
                del self._in_flight[role, chars]  # each length is a key of its own: they would pile up

    def time_is_up(self) -> bool:
        """Whether the time is used up; the run then ends, whatever is under way."""
        with self._lock:
            reached = limits.broken_by_clock(self.caps, self.seconds, self.reserve)
            if reached and self._stop is None:
                self._end("budget", reached)
            return reached is not None

    def _must_learn_of(self, role: str) -> bool:
        """Whether one call is to show what a role's calls take; where one has failed, the others do not wait for it."""
        used = self.roles.get(role, Tally())
        return self._spends and not self.reserve.knows(role) and not (used.failed or used.retried or used.timed_out)

    def check(self, phase: int | None = None) -> None:
        """Return, or end the run.

        Args:
            phase: the meter's `phase` when the work that asks began: work of an ended phase is stopped.

        Raises:
            RunStop: where the run is to end.
        """
        with self._lock:
            self._check()
            if phase is not None and phase != self.phase:
                raise RunStop("budget", "the search is over")

    def _check(self) -> None:
        if self._stop is not None:
            raise RunStop(self._stop.reason, str(self._stop))

    def _end(self, reason: str, message: str) -> None:
        self._stop = RunStop(reason, message)
        self._stopping.set()

    def billed(self, bill: Bill) -> None:
        """Count the response of an admitted call, which is in flight no more."""
        with self._lock:
            self.finished(bill.role, bill.prompt_chars)
            self._failures_in_a_row = 0
            self.roles.setdefault(bill.role, Tally()).add(bill)
            self.reserve.learn(bill)
            if self._stop is None:
                self._end_where_unknown(bill)

    def _end_where_unknown(self, bill: Bill) -> None:
        for cap, name, value in (
            (self.caps.max_cost_usd, "max_cost_usd", bill.cost_usd),
            (self.caps.max_tokens, "max_tokens", bill.tokens),
        ):
            if cap is not None and value is None:
                what = "cost" if name == "max_cost_usd" else "tokens"
                self._end("budget", f"a call of the {bill.role} LM reported no {what}, so {name} cannot be kept")

    def cached(self, role: str) -> None:
        """Count a response that the run already had."""
        with self._lock:
            self.roles.setdefault(role, Tally()).cached += 1

    def retried(self, role: str) -> None:
        """Count a call that failed for a while and is tried again."""
        with self._lock:
            self.roles.setdefault(role, Tally()).retried += 1

    def failed(self, role: str, error: Exception, fatal: bool) -> None:
        """Count a call without a response; end the run at a refusal or at too many in a row."""
        with self._lock:
            self._failures_in_a_row += 1
            self.roles.setdefault(role, Tally()).failed += 1
            if self._stop is not None:
                return
            if fatal:
                self._end("unreachable", f"the LM provider refused the call: {masked(str(error))}")
            elif self._failures_in_a_row >= self.max_consecutive_failures:
                times = f"{self._failures_in_a_row} LM calls in a row failed"
                self._end("unreachable", f"{times}, the last with: {masked(str(error))}")

    def timed_out(self, bill: Bill) -> None:
        """Count a call whose response did not come in time; for the caps it stays in flight."""
        with self._lock:
            self.roles.setdefault(bill.role, Tally()).add(bill)

    @property
    def in_flight(self) -> int:
        """Calls that have started and not finished."""
        with self._lock:
            return self._in_flight.total()

    def wait(self, seconds: float) -> None:
        """Wait between two tries.

        Raises:
            RunStop: as soon as the run is to end.
        """
        self._stopping.wait(seconds)
        self.check()

    def stop(self, reason: str, message: str) -> None:
        """End the run at its next LM call."""
        with self._lock:
            self._end(reason, message)

    def settle(self, seconds: float) -> None:
        """Let the calls in flight finish, for so many seconds at most: their responses are billed and worth keeping."""
        until = time.monotonic() + seconds
        while self._in_flight.total() > 0 and time.monotonic() < until:
            time.sleep(0.01)

    def release(self) -> None:
        """Continue after a reached cap, with what was set aside."""
        with self._lock:
            if self._stop is None or self._stop.reason == "budget":
                self._stop = None
                self._stopping.clear()
            self.reserve.release()
            self.phase += 1

    @property
    def stopped(self) -> RunStop | None:
        """Why the run ends, or None."""
        return self._stop

    def usage(self) -> dict[str, RoleUsage]:
        """Use by role, as values."""
        with self._lock:
            return {role: tally.usage() for role, tally in sorted(self.roles.items())}
