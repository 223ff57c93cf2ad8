"""The lock of a record: held by the process at work on the run, looked at by all others without disturbing it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from dspytrack.errors import UsageError

WAIT_SECONDS = 1.0  # for a process that only looks: it is gone in an instant


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold a lock file for this process; the lock ends with the process, however that ends.

    Raises:
        UsageError: where another process holds it.
    """
    lock = FileLock(path, timeout=WAIT_SECONDS)
    try:
        lock.acquire()
    except Timeout:
        raise UsageError(f"{path.parent}: another process is running this run") from None
    try:
        yield
    finally:
        lock.release()


def is_held(path: Path) -> bool:
    """Whether a process holds the lock. Any number may look at once: none takes another one for the holder."""
    try:
        import fcntl
    except ImportError:  # no shared locks on this system: two that look at once may disturb each other
        return _is_taken(path)
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


def _is_taken(path: Path) -> bool:
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True
