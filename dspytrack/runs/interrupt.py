"""Ctrl-C and SIGTERM -> the meter's stop: no new LM call starts, the record is closed, the run ends as interrupted."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from dspytrack.errors import RunStop
from dspytrack.lm.metering.meter import Meter

T = TypeVar("T")
_left: list[threading.Thread] = []
GRACE = 2.0  # seconds that calls in flight get to come home after an interruption


class Cancellation:
    """Ends a run from another thread, also where it is asked before there is a run to end."""

    def __init__(self) -> None:
        self._meter: Meter | None = None
        self._asked = False
        self._lock = threading.Lock()  # protects both: whichever comes second ends the run

    def ends(self, meter: Meter) -> None:
        """Name the run's meter."""
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
    """End the run at its next LM call on Ctrl-C or SIGTERM; on a second one leave at once.

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
    """Run work in a thread of its own, and leave it behind where it does not end soon after an interruption.

    DSPy takes over Ctrl-C where it runs in the main thread, and a call that hangs must not hold up the end. Nor may it
    hold up a cap on time: what is under way when that is used up is left at once. What is left behind asks no LM any
    more; a call that still comes home is kept and counted.

    Raises:
        RunStop: where the run was interrupted or its time is used up, and the work did not end in time.
    """
    import contextvars

    outcome: list[T] = []
    failure: list[BaseException] = []

    def body() -> None:
        try:
            outcome.append(work())
        except BaseException as error:  # noqa: BLE001 - handed on, whatever it is
            failure.append(error)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(body,), daemon=True)
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
            _left.append(thread)
            raise RunStop(stopped.reason, str(stopped))
    if failure:
        meter.settle(GRACE)
        raise failure[0]
    return outcome[0]


def left_behind() -> bool:
    """Whether work that was left behind is still under way: Python would wait for it at the process's end."""
    return any(thread.is_alive() for thread in _left)
