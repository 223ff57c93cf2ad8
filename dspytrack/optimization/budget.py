"""The meter every LM call passes: counts use by role, holds the caps, ends a run from inside a call.

Owns the counting and the decision to stop; `lm.py` calls it, `pipeline.py` reads it.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from dspytrack.errors import RunStop
from dspytrack.masking import masked
from dspytrack.optimization.usage import Bill, Tally, to_femto
from dspytrack.request import Constraints
from dspytrack.result import RoleUsage, Row

MARGIN = 1.25  # test examples may be longer than those that candidates were scored on


@dataclass
class Meter:
    """Use of a run so far, against its caps. Shared by every LM of the run and by its threads."""

    caps: Constraints = field(default_factory=Constraints)
    max_consecutive_failures: int = 20
    seconds_before: float = 0.0
    roles: dict[str, Tally] = field(default_factory=dict)
    reserve: Tally = field(default_factory=Tally)
    reserve_seconds: float = 0.0
    phase: int = 0
    _stop: RunStop | None = None
    _failures_in_a_row: int = 0
    _in_flight: int = 0
    _recent: deque[Bill] = field(default_factory=lambda: deque(maxlen=1))

    def __post_init__(self) -> None:
        self._started = time.monotonic()
        # protects the tallies, the counters and the stop; a signal may come while its own thread holds it
        self._lock = threading.RLock()
        self._stopping = threading.Event()  # wakes those who wait between two tries

    def __deepcopy__(self, memo: dict[int, Any]) -> Meter:
        """Copies of an LM go on counting in the same place."""
        return self

    @property
    def seconds(self) -> float:
        """Wall time of the run, earlier sittings included."""
        return self.seconds_before + time.monotonic() - self._started

    def restore(self, paid: Iterable[Bill], seconds: float) -> None:
        """Go on counting where earlier sittings stopped: what they paid for and how long they took."""
        with self._lock:
            self.seconds_before = seconds
            for bill in paid:
                self.roles.setdefault(bill.role, Tally()).add(bill)

    def set_aside(self, rows: Iterable[Row], seconds: float, window: int, repeats: int = 1) -> None:
        """Keep for the final evaluation what it will need, going by the baseline and by the dearest candidate so far.

        Demos and longer instructions make each call of the result dearer than one of the baseline: tokens, cost and
        seconds are kept twice over, and more once candidates are seen to take more.

        Args:
            rows: of the baseline: the result will make as many calls.
            seconds: that the baseline took.
            repeats: times each example is run.
            window: task calls that make a mean: no more than one candidate is scored with.
        """
        kept = Tally()
        for row in rows:
            kept.calls += repeats * row.lm_calls
            kept.prompt_tokens += 2 * repeats * (row.prompt_tokens or 0)
            kept.completion_tokens += 2 * repeats * (row.completion_tokens or 0)
            kept.femto_usd += 2 * repeats * to_femto(row.cost_usd or 0.0)
        with self._lock:
            self.reserve, self.reserve_seconds = kept, 2 * seconds
            self._recent = deque(maxlen=max(1, window))

    def seen(self, bill: Bill) -> None:
        """Learn what a task call takes, from one just billed or one billed in an earlier sitting."""
        if bill.role != "task":
            return
        with self._lock:
            self._learn(bill)

    def _learn(self, bill: Bill) -> None:
        recent = self._recent
        recent.append(bill)
        if not self.reserve.calls or len(recent) < (recent.maxlen or 0):
            return
        calls = MARGIN * self.reserve.calls / len(recent)
        prompt = math.ceil(calls * sum(one.prompt_tokens for one in recent))
        completion = math.ceil(calls * sum(one.completion_tokens for one in recent))
        if prompt + completion > self.reserve.tokens:
            self.reserve.prompt_tokens, self.reserve.completion_tokens = prompt, completion
        cost = to_femto(calls * sum(one.cost_usd or 0.0 for one in recent))
        self.reserve.femto_usd = max(self.reserve.femto_usd, cost)

    @property
    def total(self) -> Tally:
        """All roles together."""
        with self._lock:
            return self._sum()

    def _sum(self) -> Tally:
        total = Tally()
        for one in self.roles.values():
            total.calls += one.calls
            total.cached += one.cached
            total.failed += one.failed
            total.retried += one.retried
            total.prompt_tokens += one.prompt_tokens
            total.completion_tokens += one.completion_tokens
            total.femto_usd += one.femto_usd
            total.unpriced += one.unpriced
        return total

    def admit(self) -> None:
        """Let a billed call start, or end the run.

        Raises:
            RunStop: where the run is to end or a cap, less what is set aside, is reached.
        """
        with self._lock:
            if self._stop is None:
                reached = self._reached()
                if reached:
                    self._end("budget", reached)
            self._check()
            self._in_flight += 1

    def check(self, phase: int | None = None) -> None:
        """Go on, or end the run.

        Args:
            phase: the meter's `phase` when the work began that asks: what an ended search left behind asks in vain.

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

    def _reached(self) -> str | None:
        caps, kept = self.caps, self.reserve
        if (caps.max_lm_calls, caps.max_tokens, caps.max_cost_usd, caps.max_optimization_time) == (None,) * 4:
            return None  # adding up every role is most of what a call costs here
        used = self._sum()
        limits: tuple[tuple[str, float | None, float, float], ...] = (
            ("max_lm_calls", caps.max_lm_calls, used.calls + self._in_flight, kept.calls),
            ("max_tokens", caps.max_tokens, used.tokens, kept.tokens),
            ("max_cost_usd", caps.max_cost_usd, used.known_usd, kept.known_usd),
            ("max_optimization_time", caps.max_optimization_time, self.seconds, self.reserve_seconds),
        )
        for name, cap, spent, set_aside in limits:
            if cap is not None and spent >= cap - set_aside:
                part = f", {set_aside:g} set aside for the final evaluation" if set_aside else ""
                return f"{name} {cap:g} reached (used {spent:g}{part})"
        return None

    def billed(self, bill: Bill, admitted: bool = True) -> None:
        """Count a response that was paid for; `admitted` where its call counts as one in flight."""
        with self._lock:
            self._in_flight -= admitted
            self._failures_in_a_row = 0
            if self.caps.max_cost_usd is not None and bill.cost_usd is None and self._stop is None:
                self._end("budget", f"a call of the {bill.role} LM has no known cost, so max_cost_usd cannot be kept")
            self.roles.setdefault(bill.role, Tally()).add(bill)
            if bill.role == "task":
                self._learn(bill)

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

    def abandoned(self) -> None:
        """An admitted call ended without a response."""
        with self._lock:
            self._in_flight -= 1

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
        """Let the calls in flight come home, for so long at most: what they answer is paid for and worth keeping."""
        until = time.monotonic() + seconds
        while self._in_flight > 0 and time.monotonic() < until:
            time.sleep(0.01)

    def release(self) -> None:
        """Go on after a reached budget, with what was set aside."""
        with self._lock:
            if self._stop is None or self._stop.reason == "budget":
                self._stop = None
                self._stopping.clear()
            self.reserve, self.reserve_seconds = Tally(), 0.0
            self.phase += 1

    @property
    def stopped(self) -> RunStop | None:
        """Why the run ends, or None."""
        return self._stop

    def usage(self) -> dict[str, RoleUsage]:
        """Use by role, as values."""
        with self._lock:
            return {role: tally.usage() for role, tally in sorted(self.roles.items())}
