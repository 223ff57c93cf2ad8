"""An LM call on its way, what it is billed, and the tally of the calls made inside a block."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import dspy
from dspy.utils.exceptions import LMAuthError, LMBillingError, LMNotConfiguredError, LMTimeoutError

from dspytrack.config.schema import Price
from dspytrack.lm.metering.meter import Meter
from dspytrack.lm.metering.usage import Bill, Tally

OWN = "own"
"""The role of LMs that the run did not build, such as one that a program opens by itself."""


@dataclass
class Call:
    """One LM call on its way: who asks, which server (`place`), how much (`chars`), since when it is admitted."""

    role: str
    meter: Meter
    price: Price | None
    free: bool
    place: str = ""
    waits: bool = True
    started: float | None = None
    chars: int = 0
    keys: list[str] = field(default_factory=list)


current_call: ContextVar[Call | None] = ContextVar("dspytrack_call", default=None)


@contextmanager
def tallied(namespace: str = "") -> Iterator[Tally]:
    """Count the calls made inside; a namespace keeps them apart from all other responses of the run.

    Both stand in DSPy's own settings, which its threads (dspy.Parallel) take along.
    """
    tally = Tally()
    with dspy.context(dspytrack_tally=tally, dspytrack_namespace=namespace):
        yield tally


def current_tally() -> Tally | None:
    """Where the calls made here are being tallied, if they are."""
    found: Tally | None = dspy.settings.get("dspytrack_tally")
    return found


def count_failure() -> None:
    """Count a failed call where the calls are being tallied."""
    tally = current_tally()
    if tally is not None:
        tally.failed += 1


def is_fatal(error: Exception) -> bool:
    """Whether no further call of the LM has a hope: its key, its bill or its settings are refused."""
    return isinstance(error, LMAuthError | LMBillingError | LMNotConfiguredError)


def has_timed_out(error: BaseException | None) -> bool:
    """Whether a call was sent and its response did not come in time; DSPy's own client says so in the cause alone."""
    while error is not None:
        if isinstance(error, LMTimeoutError) or type(error).__name__ == "ReadTimeout":
            return True
        error = error.__cause__
    return False


def bill_of(usage: dict[str, Any], cost: float | None, call: Call | None) -> Bill:
    """What a response took, by the run's own price where one is given.

    Args:
        usage: what the provider reports; tokens that are not there are unknown.
        cost: USD by DSPy's prices, None where it knows none.
        call: None where the run did not build the LM.
    """
    if call is None:
        return Bill(OWN, _count(usage, "prompt_tokens"), _count(usage, "completion_tokens"), cost)
    seconds = None if call.started is None else time.perf_counter() - call.started
    prompt, completion = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    if call.free:
        cost = 0.0
    elif call.price is not None and (prompt is None or completion is None):
        cost = None
    elif call.price is not None:
        cost = (prompt * call.price.input_per_million + completion * call.price.output_per_million) / 1e6  # type: ignore[operator]
    return Bill(call.role, prompt, completion, None if cost is None else float(cost), seconds, call.chars)


def asked_chars(request: dict[str, Any]) -> int:
    """The length of a request's text, in characters; what is no text (an image) counts for nothing."""
    messages = request.get("messages") or request.get("request", {}).get("messages") or ()
    return sum(_text_chars(message) for message in messages) or len(str(request.get("prompt") or ""))


def _text_chars(message: Any) -> int:
    content = message.get("content") or message.get("parts") or "" if isinstance(message, dict) else ""
    if isinstance(content, str):
        return len(content)
    return sum(len(str(part.get("text") or "")) for part in content if isinstance(part, dict))


def _count(usage: dict[str, Any], name: str) -> int | None:
    value = usage.get(name)
    return None if value is None else int(value)
