"""The meter every LM call passes: counts use by role, holds the caps, ends a run from inside a call.

Owns the counting and the decision to stop; `lm.py` calls it, `pipeline.py` reads it.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

from dspytrack.errors import RunStop
from dspytrack.request import Constraints
from dspytrack.result import RoleUsage

MAX_CONSECUTIVE_FAILURES = 20


@dataclass
class Tally:
    """What the calls of one example came to. Costs are None as soon as one of them is unknown."""

    calls: int = 0
    cached: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float | None = 0.0

    def add(self, prompt_tokens: int, completion_tokens: int, cost_usd: float | None) -> None:
        """Count one billed call."""
        self.calls += 1
        self.prompt_tokens += prompt_tokens
        self.completion_tokens += completion_tokens
        self.cost_usd = None if self.cost_usd is None or cost_usd is None else self.cost_usd + cost_usd

    def usage(self) -> RoleUsage:
        """The tally as a value."""
        return RoleUsage(
            calls=self.calls,
            cached_calls=self.cached,
            failed_calls=self.failed,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            cost_usd=self.cost_usd,
        )


@dataclass
class Meter:
    """Use of a run so far, against its caps. Shared by every LM of the run and by its threads."""

    caps: Constraints = field(default_factory=Constraints)
    seconds_before: float = 0.0
    roles: dict[str, Tally] = field(default_factory=dict)
    reserve: Tally = field(default_factory=Tally)
    reserve_seconds: float = 0.0
    _stop: RunStop | None = None
    _failures_in_a_row: int = 0
    _in_flight: int = 0

    def __post_init__(self) -> None:
        self._started = time.monotonic()
        self._lock = threading.Lock()  # protects the tallies, the counters and the stop

    def __deepcopy__(self, memo: dict[int, Any]) -> Meter:
        """Copies of an LM go on counting in the same place."""
        return self

    @property
    def seconds(self) -> float:
        """Wall time of the run, earlier sittings included."""
        return self.seconds_before + time.monotonic() - self._started

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
            total.prompt_tokens += one.prompt_tokens
            total.completion_tokens += one.completion_tokens
            known = total.cost_usd is not None and one.cost_usd is not None
            total.cost_usd = (total.cost_usd or 0.0) + (one.cost_usd or 0.0) if known else None
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
                    self._stop = RunStop("budget", reached)
            if self._stop is not None:
                raise RunStop(self._stop.reason, str(self._stop))
            self._in_flight += 1

    def _reached(self) -> str | None:
        used, caps, kept = self._sum(), self.caps, self.reserve
        tokens = used.prompt_tokens + used.completion_tokens
        aside = kept.prompt_tokens + kept.completion_tokens
        limits: tuple[tuple[str, float | None, float, float], ...] = (
            ("max_lm_calls", caps.max_lm_calls, used.calls + self._in_flight, kept.calls),
            ("max_tokens", caps.max_tokens, tokens, aside),
            ("max_cost_usd", caps.max_cost_usd, used.cost_usd or 0.0, kept.cost_usd or 0.0),
            ("max_optimization_time", caps.max_optimization_time, self.seconds, self.reserve_seconds),
        )
        for name, cap, spent, set_aside in limits:
            if cap is not None and spent >= cap - set_aside:
                part = f", {set_aside:g} set aside for the final evaluation" if set_aside else ""
                return f"{name} {cap:g} reached (used {spent:g}{part})"
        return None

    def billed(self, role: str, prompt_tokens: int, completion_tokens: int, cost_usd: float | None) -> None:
        """Count a response that was paid for."""
        with self._lock:
            self._in_flight -= 1
            self._failures_in_a_row = 0
            self.roles.setdefault(role, Tally()).add(prompt_tokens, completion_tokens, cost_usd)

    def cached(self, role: str) -> None:
        """Count a response that the run already had."""
        with self._lock:
            self.roles.setdefault(role, Tally()).cached += 1

    def failed(self, role: str, error: Exception, fatal: bool) -> None:
        """Count a call without a response; end the run at a refusal or at too many in a row."""
        with self._lock:
            self._in_flight -= 1
            self._failures_in_a_row += 1
            self.roles.setdefault(role, Tally()).failed += 1
            many = self._failures_in_a_row >= MAX_CONSECUTIVE_FAILURES
            if (fatal or many) and self._stop is None:
                why = (
                    "the LM provider refused the call"
                    if fatal
                    else f"{self._failures_in_a_row} LM calls in a row failed"
                )
                self._stop = RunStop("unreachable", f"{why}: {error}")

    def abandoned(self) -> None:
        """A call ended with neither response nor error (the run is being stopped)."""
        with self._lock:
            self._in_flight -= 1

    def stop(self, reason: str, message: str) -> None:
        """End the run at its next billed call."""
        with self._lock:
            self._stop = RunStop(reason, message)

    def release(self) -> None:
        """Go on after a reached budget, with what was set aside."""
        with self._lock:
            self._stop, self.reserve, self.reserve_seconds = None, Tally(), 0.0

    @property
    def stopped(self) -> RunStop | None:
        """Why the run ends, or None."""
        return self._stop

    def usage(self) -> dict[str, RoleUsage]:
        """Use by role, as values."""
        with self._lock:
            return {role: tally.usage() for role, tally in sorted(self.roles.items())}
