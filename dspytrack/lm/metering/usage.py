"""What LM calls used: the bill of one, the tally of many."""

from __future__ import annotations

from dataclasses import dataclass, fields

from dspytrack.results.values import RoleUsage

_FEMTO = 10**15


def to_femto(usd: float) -> int:
    """USD as whole femto-dollars."""
    return round(usd * _FEMTO)


@dataclass(frozen=True)
class Bill:
    """What one call took: tokens, USD and wall seconds, each None where it is unknown.

    `prompt_chars` is the length of what was asked. `timed_out` marks a call whose response did not come in time: the
    provider may charge for it, and does not report it.
    """

    role: str
    prompt_tokens: int | None
    completion_tokens: int | None
    cost_usd: float | None
    seconds: float | None = None
    prompt_chars: int = 0
    timed_out: bool = False

    @property
    def tokens(self) -> int | None:
        """Prompt and completion tokens together."""
        if self.prompt_tokens is None or self.completion_tokens is None:
            return None
        return self.prompt_tokens + self.completion_tokens


@dataclass
class Tally:
    """The sum of some calls; `unpriced` and `unreported` count those whose cost and whose tokens are unknown.

    `waited_seconds` passed before the calls were admitted: a first call that goes alone holds up the others.
    Costs are added as whole femto-dollars (1e-15 USD), so that the sum does not depend on the order of the calls.
    """

    calls: int = 0
    cached: int = 0
    failed: int = 0
    retried: int = 0
    timed_out: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    femto_usd: int = 0
    unpriced: int = 0
    unreported: int = 0
    replayed_seconds: float | None = 0.0
    waited_seconds: float = 0.0

    def add(self, bill: Bill) -> None:
        """Count one billed call, or one that timed out."""
        if bill.timed_out:
            self.timed_out += 1
            return
        self.calls += 1
        self.unreported += bill.tokens is None
        self.prompt_tokens += bill.prompt_tokens or 0
        self.completion_tokens += bill.completion_tokens or 0
        if bill.cost_usd is None:
            self.unpriced += 1
        else:
            self.femto_usd += to_femto(bill.cost_usd)

    def replay(self, bill: Bill) -> None:
        """Count a response billed in an earlier attempt, with the time it took then."""
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
        """Prompt and completion tokens together, of the calls that reported them."""
        return self.prompt_tokens + self.completion_tokens

    @property
    def known_prompt_tokens(self) -> int | None:
        """Prompt tokens, or None where one call did not report them."""
        return None if self.unreported else self.prompt_tokens

    @property
    def known_completion_tokens(self) -> int | None:
        """Completion tokens, or None where one call did not report them."""
        return None if self.unreported else self.completion_tokens

    def include(self, other: Tally) -> None:
        """Add what other calls came to."""
        for one in fields(self):
            if one.name != "replayed_seconds":
                setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))

    def usage(self) -> RoleUsage:
        """The tally as a value."""
        return RoleUsage(
            calls=self.calls,
            cached_calls=self.cached,
            failed_calls=self.failed,
            retried_calls=self.retried,
            timed_out_calls=self.timed_out,
            prompt_tokens=self.known_prompt_tokens,
            completion_tokens=self.known_completion_tokens,
            cost_usd=self.cost_usd,
        )
