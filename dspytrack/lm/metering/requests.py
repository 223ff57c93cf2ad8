"""A request as the meter sees it, and what its response is billed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from dspytrack.lm.metering.scope import Label
from dspytrack.lm.metering.usage import Bill


class Use(NamedTuple):
    """What a response reports of itself: tokens (None where it does not say) and USD (None where no price is known)."""

    prompt_tokens: int | None
    completion_tokens: int | None
    cost_usd: float | None


@dataclass(frozen=True)
class Request:
    """A request as the meter sees it.

    `key` finds its response, None where it is asked anew each time; `chars` is the length of its text; `retries` how
    often it is tried again; `use`, `dump` and `load` read a response, and take it to JSON data and back.
    """

    label: Label
    key: str | None
    chars: int
    retries: int
    use: Callable[[Any], Use]
    dump: Callable[[Any], Any]
    load: Callable[[Any], Any]


def bill_of(use: Use, label: Label, seconds: float | None, chars: int) -> Bill:
    """What a response is billed, by the price in the config where there is one.

    Args:
        use: as the response reports it.
        label: of the LM.
        seconds: that the call took.
        chars: length of what was asked.
    """
    prompt, completion, cost = use
    if label.is_free:
        cost = 0.0
    elif label.price is not None and (prompt is None or completion is None):
        cost = None
    elif label.price is not None:
        cost = (prompt * label.price.input_per_million + completion * label.price.output_per_million) / 1e6  # type: ignore[operator]
    return Bill(label.role, prompt, completion, None if cost is None else float(cost), seconds, chars)


def reported(usage: Mapping[str, Any], cost: float | None) -> Use:
    """What a provider reports, as a value: a count that is no number is unknown."""
    return Use(_count(usage, "prompt_tokens"), _count(usage, "completion_tokens"), cost)


def _count(usage: Mapping[str, Any], name: str) -> int | None:
    value = usage.get(name)
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
