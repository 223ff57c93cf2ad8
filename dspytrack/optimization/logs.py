"""What optimizers and libraries print goes to the run's log, not to the user's screen or stdout."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import TextIOWrapper
from pathlib import Path

from dspytrack.masking import masked


class _MaskedLog(TextIOWrapper):
    """A log file that no secret reaches."""

    def write(self, text: str) -> int:
        """Write a text, its secrets masked."""
        super().write(masked(text))
        return len(text)


@contextmanager
def logged(log_file: Path) -> Iterator[None]:
    """Send what is printed or logged inside to the run's log."""
    root, dspy_logger = logging.getLogger(), logging.getLogger("dspy")
    with _MaskedLog(log_file.open("ab"), encoding="utf-8") as log, redirect_stdout(log), redirect_stderr(log):
        handler = logging.StreamHandler(log)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        before = [(one, list(one.handlers), one.propagate) for one in (root, dspy_logger)]
        root.handlers = [handler]
        dspy_logger.handlers, dspy_logger.propagate = [], True
        try:
            yield
        finally:
            for one, handlers, propagate in before:
                one.handlers, one.propagate = handlers, propagate
