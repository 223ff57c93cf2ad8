"""What a failed LM call means: can a retry help and when, was it sent, can any other call succeed."""

from __future__ import annotations

import random

from dspy.utils.exceptions import (
    AdapterParseError,
    ContextWindowExceededError,
    LMAuthError,
    LMBillingError,
    LMError,
    LMNotConfiguredError,
    LMTimeoutError,
    is_retryable_lm_error,
)

LONGEST_WAIT = 60.0  # seconds between two tries, whatever the provider asks for
_jitter = random.Random()  # not Python's own, which optimizers seed and draw from


def can_be_retried(error: Exception) -> bool:
    """Whether the same call may succeed later."""
    return bool(is_retryable_lm_error(error))


def is_of_lm(error: BaseException | None) -> bool:
    """Whether an LM gave no response, not whoever asked it made nothing of one: the first of them behind the error.

    A prompt that is too long for its LM is the doing of whoever wrote it.
    """
    while error is not None:
        if isinstance(error, AdapterParseError | ContextWindowExceededError):
            return False
        if isinstance(error, LMError):
            return True
        error = error.__cause__ or error.__context__
    return False


def is_fatal(error: Exception) -> bool:
    """Whether no further call of the LM can succeed: its key, its account or its settings are refused."""
    return isinstance(error, LMAuthError | LMBillingError | LMNotConfiguredError)


def has_timed_out(error: BaseException | None) -> bool:
    """Whether a call was sent and its response did not come in time; DSPy's own client says so in the cause alone."""
    while error is not None:
        if isinstance(error, LMTimeoutError) or type(error).__name__ == "ReadTimeout":
            return True
        error = error.__cause__
    return False


def delay_before(error: Exception, tries: int) -> float:
    """Seconds before the next try: what the provider asks for, else 1, 2, 4 … 30 with up to a second of jitter."""
    asked = getattr(error, "retry_after", None)
    if isinstance(asked, int | float):
        return min(float(asked), LONGEST_WAIT)
    return min(2.0 ** (tries - 1), 30.0) + _jitter.random()
