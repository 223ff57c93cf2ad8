"""Ctrl-C and SIGTERM stop the meter: no new LM call starts, the record is completed, the run ends as interrupted."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any, TypeVar

from dspytrack.errors import RunStop
from dspytrack.lm.metering.meter import Meter

T = TypeVar("T")
_abandoned: list[threading.Thread] = []
GRACE = 2.0  # seconds that calls in flight have to finish after an interruption


class Cancellation:
    """Ends a run from another thread, even if asked before the run has begun."""

    def __init__(self) -> None:
        self._meter: Meter | None = None
        self._asked = False
        self._lock = threading.Lock()  # protects both: the second of the two ends the run

    def ends(self, meter: Meter) -> None:
        """Say which meter's run this ends."""
        with self._lock:
            self._meter = meter
            if self._asked:
                meter.stop("interrupted", "cancelled")

    def now(self) -> None:
        """End the run at its next LM call."""
        with self._lock:
            self._asked = True
            if self._meter is not None:
                self._meter.stop("interrupted", "cancelled")


@contextmanager
def interruptible(meter: Meter) -> Iterator[None]:
    """End the run at its next LM call on Ctrl-C or SIGTERM; on a second one exit at once.

    Only in the main thread, where Python delivers signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: Any) -> None:
        if meter.stopped is not None and meter.stopped.reason == "interrupted":
            os._exit(130)  # files are written whole or by the line: nothing is torn that could matter
        meter.stop("interrupted", f"interrupted by {signal.Signals(number).name}")

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def in_thread(work: Callable[[], T], meter: Meter) -> T:
    """Do work in a thread of its own, and abandon it where it does not end soon after an interruption.

    DSPy takes over Ctrl-C where it runs in the main thread, and a call that hangs must hold up neither the end nor a
    cap on time: what is under way when that is reached is abandoned at once. Abandoned work makes no more LM calls; a
    call that still finishes is kept and counted.

    Raises:
        RunStop: where the run was interrupted or its time is used up, and the work did not end in time.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def body() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            errors.append(error)

    thread = threading.Thread(target=copy_context().run, args=(body,), daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.1)
        if not thread.is_alive():
            break
        overdue, stopped = meter.time_is_up(), meter.stopped
        interrupted = stopped is not None and stopped.reason == "interrupted"
        if interrupted:
            thread.join(GRACE)
        if thread.is_alive() and stopped is not None and (interrupted or overdue):
            _abandoned.append(thread)
            raise RunStop(stopped.reason, str(stopped))
    if errors:
        meter.settle(GRACE)
        raise errors[0]
    return results[0]


def has_abandoned_work() -> bool:
    """Whether abandoned work is still under way: Python would wait for it at the process's end."""
    return any(thread.is_alive() for thread in _abandoned)
