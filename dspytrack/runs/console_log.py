"""What optimizers and libraries print goes to the run's log, not to the user's screen or stdout."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

from dspytrack.config.masking import masked


class _MaskedLog(io.TextIOBase):
    """A log file that no secret reaches. An error of the file is kept in `lost` and not raised.

    Libraries that print do not expect such an error: tqdm would keep its lock, and the run would hang.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab")
        self.lost: OSError | None = None

    def write(self, text: str) -> int:
        """Write a text, its secrets masked."""
        if self.lost is None:
            try:
                self._file.write(masked(text).encode("utf-8", "backslashreplace"))
            except OSError as error:
                self.lost = error
        return len(text)

    def flush(self) -> None:
        """Write what is buffered."""
        if self.lost is None and not self._file.closed:
            try:
                self._file.flush()
            except OSError as error:
                self.lost = error

    def close(self) -> None:
        """Close the file."""
        self.flush()
        try:
            self._file.close()
        except OSError as error:  # what is buffered is tried once more
            self.lost = self.lost or error


@contextmanager
def logged(log_file: Path) -> Iterator[None]:
    """Send what is printed or logged inside to the run's log."""
    root, dspy_logger = logging.getLogger(), logging.getLogger("dspy")
    log = _MaskedLog(log_file)
    with log, redirect_stdout(log), redirect_stderr(log):
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
    if log.lost is not None:
        logging.getLogger("dspytrack").warning("%s is incomplete: %s", log_file, log.lost)
