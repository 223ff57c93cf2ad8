"""Every error a user can meet, as one tree, each with its exit code.

    DspytrackError                1   an error of the program itself
    ├── UsageError                2   a bad option, argument or environment; nothing was spent
    │   ├── ConfigError           2   a fault in a config file or dataset: file, line, key
    │   └── ChangedError          2   what a run to resume was started with has changed
    ├── NotFoundError             1   nothing matches (as grep does)
    ├── DamagedError              1   a file of a record cannot be read
    └── UnreachableError          6   something outside could not be reached; the record is kept
    RunStop(BaseException)            raised where LM calls pass, so that no optimizer swallows it

The command line turns an error into one line on stderr and its exit code; nothing else catches them.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DspytrackError(Exception):
    """Base of all errors meant to be shown to the user as a sentence."""

    exit_code = 1


class UsageError(DspytrackError):
    """A mistake in what was asked; raised before anything is spent."""

    exit_code = 2


class ConfigError(UsageError):
    """A fault in a config file or dataset, with its place when it is known."""

    def __init__(
        self, message: str, *, file: object | None = None, line: int | None = None, key: str | None = None
    ) -> None:
        self.message, self.file, self.line, self.key = message, file, line, key
        place = "" if file is None else f"{file}:{line}" if line is not None else str(file)
        parts = [part for part in (place, key) if part]
        super().__init__(": ".join([*parts, message]))


class ChangedError(UsageError):
    """What a run was started with has changed since, so it cannot be resumed."""

    def __init__(self, run_id: str, changes: list[str]) -> None:
        self.summary = f"{run_id} was started with something else ({'; '.join(changes)})"
        super().__init__(f"{self.summary}. Undo that, or start a new run, billed anew, with --resume --allow-changes.")


class NotFoundError(DspytrackError):
    """Nothing matches what was asked for."""


class DamagedError(DspytrackError):
    """A file of a record cannot be read."""

    def __init__(self, path: object, why: str) -> None:
        super().__init__(f"{path} cannot be read: {why}")


class UnreachableError(DspytrackError):
    """An LM provider, tracking server or engine does not answer; `fix` is what to do, where that is known."""

    exit_code = 6

    def __init__(self, what: str, fix: str | None = None) -> None:
        self.what, self.fix = what, fix
        super().__init__(what if fix is None else f"{what}; {fix}")


class RunStop(BaseException):
    """Ends an optimization from the place every LM call passes.

    A BaseException, because optimizers swallow ordinary exceptions and would continue.
    `reason` is one of "budget", "interrupted", "unreachable", "unusable" (nothing that was answered could be scored).
    """

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)

    @property
    def exit_code(self) -> int:
        """The exit code where no run is there to keep what was found."""
        return {"budget": 5, "unreachable": 6, "interrupted": 130}.get(self.reason, 1)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """' Did you mean `x`?' for the nearest known word, else ''."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" Did you mean `{near[0]}`?" if near else ""
