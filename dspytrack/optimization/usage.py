"""What LM calls took: the bill of one, the tally of many."""

from __future__ import annotations

from dataclasses import dataclass

from dspytrack.result import RoleUsage

_FEMTO = 10**15


def to_femto(usd: float) -> int:
    """USD as whole femto-dollars."""
    return round(usd * _FEMTO)


@dataclass(frozen=True)
class Bill:
    """What one response took: tokens, USD (None where unknown) and wall seconds (None where unknown)."""

    role: str
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None
    seconds: float | None = None


@dataclass
class Tally:
    """What some calls came to; `unpriced` counts those whose cost is unknown.

    Costs are added as whole femto-dollars (1e-15 USD), so that the sum does not depend on the order of the calls.
    """

    calls: int = 0
    cached: int = 0
    failed: int = 0
    retried: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    femto_usd: int = 0
    unpriced: int = 0
    replayed_seconds: float | None = 0.0

    def add(self, bill: Bill) -> None:
        """Count one billed call."""
        self.calls += 1
        self.prompt_tokens += bill.prompt_tokens
        self.completion_tokens += bill.completion_tokens
        if bill.cost_usd is None:
            self.unpriced += 1
        else:
            self.femto_usd += to_femto(bill.cost_usd)

    def replay(self, bill: Bill) -> None:
        """Count a response billed in an earlier sitting, with the time it took then."""
        self.add(bill)
        known = self.replayed_seconds is not None and bill.seconds is not None
        self.replayed_seconds = self.replayed_seconds + bill.seconds if known else None  # type: ignore[operator]

    @property
    def cost_usd(self) -> float | None:
        """USD, or None where one call's cost is unknown."""
        return None if self.unpriced else self.known_usd

    @property
    def known_usd(self) -> float:
        """USD of the calls whose cost is known."""
        return self.femto_usd / _FEMTO

    @property
    def tokens(self) -> int:
        """Prompt and completion tokens together."""
        return self.prompt_tokens + self.completion_tokens

    def usage(self) -> RoleUsage:
        """The tally as a value."""
        return RoleUsage(
            calls=self.calls,
            cached_calls=self.cached,
            failed_calls=self.failed,
            retried_calls=self.retried,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            cost_usd=self.cost_usd,
        )
