"""A check as a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dspytrack.errors import DspytrackError, UnreachableError

Status = Literal["pass", "fail", "skipped"]


@dataclass(frozen=True)
class Check:
    """The result of one check; `fix` is the command to type, or what to do, where it failed."""

    name: str
    status: Status
    detail: str
    fix: str | None = None


def passed(name: str, detail: str) -> Check:
    """Nothing is wrong."""
    return Check(name, "pass", detail)


def failed(name: str, detail: str, fix: str) -> Check:
    """Something is wrong, and this fixes it."""
    return Check(name, "fail", detail, fix)


def skipped(name: str, reason: str) -> Check:
    """It was not checked."""
    return Check(name, "skipped", reason)


def failed_with(name: str, error: DspytrackError, fix: str) -> Check:
    """It failed with an error; the error's own fix, where it has one, replaces `fix`."""
    if isinstance(error, UnreachableError):
        return failed(name, error.what, error.fix or fix)
    return failed(name, str(error), fix)
