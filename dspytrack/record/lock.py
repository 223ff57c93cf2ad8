"""The lock of a run's record: held by the process that runs it, looked at by all others without getting in its way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from dspytrack.errors import UsageError

PATIENCE_SECONDS = 1.0  # for those who only look: they are gone in an instant


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold a lock file for this process; it goes with the process, however that ends.

    Raises:
        UsageError: where another process holds it.
    """
    lock = FileLock(path, timeout=PATIENCE_SECONDS)
    try:
        lock.acquire()
    except Timeout:
        raise UsageError(f"{path.parent}: another process is running this run") from None
    try:
        yield
    finally:
        lock.release()


def is_held(path: Path) -> bool:
    """Whether a process holds it. Any number may look at once: none of them sees another one as the holder."""
    try:
        import fcntl
    except ImportError:  # no shared locks here: two who look may disturb each other
        return _taken(path)
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return False
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(file, fcntl.LOCK_UN)
        return False


def _taken(path: Path) -> bool:
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True
