"""One LM call from its request to its response: looked up, admitted, sent, billed, kept, tried again.

The steps are written once, as a generator that yields what it has to wait for; `run` and `arun` wait for it, in a
thread and in an event loop. Knows no DSPy: what a request is and how it is sent, `dspy_hooks.py` says.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import uuid4

from dspytrack.errors import RunStop
from dspytrack.lm.metering.cache import ResponseCache
from dspytrack.lm.metering.failures import can_be_retried, delay_before, has_timed_out, is_fatal
from dspytrack.lm.metering.meter import Meter
from dspytrack.lm.metering.requests import Request, bill_of
from dspytrack.lm.metering.scope import Scope, current_scope
from dspytrack.lm.metering.usage import Bill

_LOOK = 0.02  # seconds between two looks at whether a call may start


class InFlight(NamedTuple):
    """Wait for the call that asks for the same response."""

    ended: threading.Event


class Pause(NamedTuple):
    """Wait so many seconds, or until the run is to end."""

    seconds: float


class Send(NamedTuple):
    """Send the request, and come back with its response or error."""


Step = InFlight | Pause | Send
Steps = Generator[Step, Any, Any]


@dataclass
class _Call:
    """A call under way; `admitted_at` (seconds, a clock's) while the meter counts it as in flight."""

    request: Request
    outer: _Call | None
    admitted_at: float | None = None
    handed_on: bool = False

    def asks_for(self, key: str) -> bool:
        """Whether this call or one around it asks for the same."""
        return self.request.key == key or (self.outer is not None and self.outer.asks_for(key))


_current: ContextVar[_Call | None] = ContextVar("dspytrack_call", default=None)


@dataclass
class CallMeter:
    """Meters the calls of one run: its caps and counts (`meter`), its responses (`cache`)."""

    meter: Meter
    cache: ResponseCache
    _tallies: threading.Lock = field(default_factory=threading.Lock)  # protects tallies that threads share

    def run(self, request: Request, send: Callable[[], Any]) -> Any:
        """Make a call in this thread.

        Args:
            request: what is asked.
            send: sends it.

        Raises:
            RunStop: where the run is to end.
            Exception: what `send` raised, once no further try is made.
        """
        call = _Call(request, _current.get())
        steps = self._steps(call)
        try:
            step = next(steps)
            while True:
                if isinstance(step, InFlight):
                    step.ended.wait()
                    step = next(steps)
                elif isinstance(step, Pause):
                    self.meter.wait(step.seconds)
                    step = next(steps)
                else:
                    try:
                        with _inside(call):
                            found = send()
                    except Exception as error:  # noqa: BLE001 - the steps decide what becomes of it
                        step = steps.throw(error)
                    else:
                        step = steps.send(found)
        except StopIteration as done:
            return done.value
        finally:
            steps.close()

    async def arun(self, request: Request, send: Callable[[], Awaitable[Any]]) -> Any:
        """As `run`, awaited."""
        call = _Call(request, _current.get())
        steps = self._steps(call)
        try:
            step = next(steps)
            while True:
                if isinstance(step, InFlight):
                    while not step.ended.is_set():
                        await asyncio.sleep(0.005)
                    step = next(steps)
                elif isinstance(step, Pause):
                    await self._slept(step.seconds)
                    step = next(steps)
                else:
                    try:
                        with _inside(call):
                            found = await send()
                    except Exception as error:  # noqa: BLE001 - the steps decide what becomes of it
                        step = steps.throw(error)
                    else:
                        step = steps.send(found)
        except StopIteration as done:
            return done.value
        finally:
            steps.close()

    async def _slept(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.meter.check()
            await asyncio.sleep(min(0.2, left))
        self.meter.check()

    def _steps(self, call: _Call) -> Steps:
        """The steps of a call, answered from the cache or by the LM."""
        scope, key = current_scope(), call.request.key
        self.meter.check(scope.phase)
        if call.outer is not None:
            self._hand_on(call.outer)
        if key is None or (call.outer is not None and call.outer.asks_for(key)):
            return (yield from self._asked(call, scope))
        found = self.cache.get(key)
        if found is not None:
            return self._hit(call, scope, found)
        while (ended := self.cache.claim(key)) is not None:
            yield InFlight(ended)
        try:
            found = self.cache.get(key)
            if found is not None:
                return self._hit(call, scope, found)
            return (yield from self._asked(call, scope))
        finally:
            self.cache.release(key)

    def _hand_on(self, outer: _Call) -> None:
        """An LM that asks another one makes one call: the other one's."""
        outer.handed_on = True
        self._finish(outer)

    def _hit(self, call: _Call, scope: Scope, found: Any) -> Any:
        """The first use of a response from an earlier attempt counts as it did then; any other is a cached call."""
        bill = self.cache.first_use(call.request.key or "")
        with self._tallies:
            if bill is None:
                scope.tally.cached += 1
            else:
                scope.tally.replay(bill)
        if bill is None:
            self.meter.cached(call.request.label.role)
        else:
            self.meter.learn(bill)
        return call.request.load(found)

    def _asked(self, call: _Call, scope: Scope) -> Steps:
        """Ask the LM, and again where a failure may pass."""
        role, tries = call.request.label.role, 0
        while True:
            yield from self._admitted(call, scope)
            try:
                found = yield Send()
            except Exception as error:
                tries += 1
                self._note_time_out(call, error)
                self._finish(call)
                if call.handed_on:
                    raise
                if tries > call.request.retries or not can_be_retried(error):
                    self._failed(role, scope, error)
                    raise
                self.meter.retried(role)
                delay = delay_before(error, tries)
            else:
                if not call.handed_on:
                    self._billed(call, scope, found)
                return found
            finally:
                self._finish(call)
            yield Pause(delay)

    def _admitted(self, call: _Call, scope: Scope) -> Steps:
        request, began = call.request, time.perf_counter()
        while not self.meter.admit(request.label.role, request.chars):
            yield Pause(_LOOK)
        call.admitted_at = time.perf_counter()
        with self._tallies:
            scope.tally.waited_seconds += call.admitted_at - began

    def _finish(self, call: _Call) -> None:
        """An admitted call is in flight no more."""
        if call.admitted_at is not None:
            call.admitted_at = None
            self.meter.finished(call.request.label.role, call.request.chars)

    def _billed(self, call: _Call, scope: Scope, found: Any) -> None:
        """Keep a response with its bill, then count it: a response that is not on disk is not used."""
        request = call.request
        seconds = None if call.admitted_at is None else time.perf_counter() - call.admitted_at
        bill = bill_of(request.use(found), request.label, seconds, request.chars)
        response = None if request.key is None else request.dump(found)
        self._keep(request.key or f"not cached {uuid4().hex}", response, bill)
        call.admitted_at = None
        self.meter.billed(bill)
        with self._tallies:
            scope.tally.add(bill)

    def _failed(self, role: str, scope: Scope, error: Exception) -> None:
        self.meter.failed(role, error, is_fatal(error))
        with self._tallies:
            scope.tally.failed += 1

    def _note_time_out(self, call: _Call, error: Exception) -> None:
        """A call whose response did not come in time may be charged for: it is kept and counted."""
        if call.handed_on or not has_timed_out(error):
            return
        bill = Bill(call.request.label.role, None, None, None, prompt_chars=call.request.chars, timed_out=True)
        self._keep(f"timed out {uuid4().hex}", None, bill)
        self.meter.timed_out(bill)

    def _keep(self, key: str, response: Any, bill: Bill) -> None:
        try:
            self.cache.put(key, response, bill)
        except (OSError, ValueError) as error:  # a ValueError where the run has ended and its log is closed
            message = f"a response cannot be written to {self.cache.place}: {error}; free some space and resume the run"
            self.meter.stop("unreachable", message)
            raise RunStop("unreachable", message) from error


@contextmanager
def _inside(call: _Call) -> Iterator[None]:
    token = _current.set(call)
    try:
        yield
    finally:
        _current.reset(token)
