"""The run's own LM responses: each on disk with its bill before it is used, each request in flight asked once.

DSPy looks a request up here before it asks and puts the response here before it returns it. What a response cost
lies beside it, so that a resumed run knows what was paid without a second book.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any
from uuid import uuid4

import dspy
from dspy.clients.cache import Cache
from dspy.utils.exceptions import LMError

from dspytrack.errors import RunStop
from dspytrack.lm.metering.calls import (
    OWN,
    Call,
    asked_chars,
    bill_of,
    current_call,
    current_tally,
    has_timed_out,
)
from dspytrack.lm.metering.meter import Meter
from dspytrack.lm.metering.response_log import ResponseFile
from dspytrack.lm.metering.usage import Bill

_FREE_DISK = "free some space and resume the run"


@contextmanager
def under_way(call: Call) -> Iterator[Call]:
    """One call on its way; however it ends, those who wait for its request go on.

    Raises:
        RunStop: where the run is to end.
    """
    call.meter.check(dspy.settings.get("dspytrack_phase"))
    token = current_call.set(call)
    try:
        yield call
    except LMError as error:
        if isinstance(dspy.cache, RunCache) and has_timed_out(error):
            dspy.cache.timed_out(call)
        raise
    finally:
        if call.started is not None:
            call.meter.abandoned(call.role, call.chars)
        if isinstance(dspy.cache, RunCache):
            dspy.cache.land(call)
        current_call.reset(token)


class InFlight(Exception):
    """The same request is on its way already: an awaiting caller, who may not block a thread, waits for `landed`."""

    def __init__(self, landed: threading.Event) -> None:
        self.landed = landed
        super().__init__("the same request is in flight")


async def landing(landed: threading.Event) -> None:
    """Await a request that another call is on its way with."""
    while not landed.is_set():
        await asyncio.sleep(0.005)


class RunCache(Cache):  # type: ignore[misc]
    """A run's responses by request, as DSPy's cache.

    What is no LM's call but is kept here all the same, such as an embedding, is billed to the role "own".
    """

    def __init__(self, file: ResponseFile, meter: Meter | None = None) -> None:
        super().__init__(enable_disk_cache=False, enable_memory_cache=False, disk_cache_dir=None)
        self._file = file
        self._meter = meter or Meter()
        self._to_replay = dict(file.bills)
        self._flights: dict[str, threading.Event] = {}
        self._flights_lock = threading.Lock()  # protects the requests in flight and the replays

    @property
    def paid(self) -> list[Bill]:
        """What earlier sittings of this run paid for."""
        return [bill for _, bill in self._file.bills]

    @property
    def damaged(self) -> int:
        """Responses of earlier sittings that cannot be read and are asked for again."""
        return self._file.damaged

    def __contains__(self, key: str) -> bool:
        return key in self._file

    def cache_key(self, request: dict[str, Any], ignored_args_for_cache_key: list[str] | None = None) -> str:
        """The request's hash within the current namespace, at the server that is asked.

        Of the server's address, which may hold a password, only a hash is part of it.
        """
        call = current_call.get()
        place = sha256(call.place.encode()).hexdigest()[:12] + ":" if call is not None and call.place else ""
        namespace = dspy.settings.get("dspytrack_namespace") or ""
        ignored = [*(ignored_args_for_cache_key or ()), "timeout"]  # how long is waited alters no answer
        return f"{namespace}{place}{super().cache_key(request, ignored)}"

    def get(self, request: dict[str, Any], ignored_args_for_cache_key: list[str] | None = None) -> Any:
        """A response the run has, waiting for one in flight; on a miss the call is admitted or the run ends."""
        call = current_call.get()
        key = self.cache_key(request, ignored_args_for_cache_key)
        while True:
            found = self._response(key)
            if found is not None:
                self._count_hit(key, call or Call(OWN, self._meter, None, False))
                return found
            if call is None:
                self._meter.check(dspy.settings.get("dspytrack_phase"))
                self._meter.admit(OWN, waits=False)
                self._meter.abandoned(OWN)  # whether it comes home is not known here
                return None
            flight = self._take_off(key, call)
            if flight is None:
                found = self._response(key)  # another call may have landed since the first look
                if found is not None:
                    self._count_hit(key, call)
                    return found
                self._admit(call, request)
                return None
            if not call.waits:
                raise InFlight(flight)
            flight.wait()

    def _response(self, key: str) -> Any:
        found = self._file.get(key)
        return found if found is None or isinstance(found, dict) else self._prepare_cached_response(found)

    def _count_hit(self, key: str, call: Call) -> None:
        """The first use of a response from an earlier sitting counts as it did then; any other is a cached call."""
        tally = current_tally()
        with self._flights_lock:
            bill = self._to_replay.pop(key, None)
            if tally is not None and bill is not None:
                tally.replay(bill)
            elif tally is not None:
                tally.cached += 1
        if bill is not None:
            call.meter.seen(bill)
        else:
            call.meter.cached(call.role)

    def _take_off(self, key: str, call: Call) -> threading.Event | None:
        """None where this call is the one to ask, else the event to wait for."""
        with self._flights_lock:
            if key in call.keys:  # an LM that hands its request on to another one
                return None
            flight = self._flights.get(key)
            if flight is None:
                self._flights[key] = threading.Event()
                call.keys.append(key)
            return flight

    def land(self, call: Call) -> None:
        """Let those who wait for this call's requests go on."""
        with self._flights_lock:
            for key in call.keys:
                self._flights.pop(key).set()
            call.keys.clear()

    def put(
        self,
        request: dict[str, Any],
        value: Any,
        ignored_args_for_cache_key: list[str] | None = None,
        enable_memory_cache: bool = True,
    ) -> None:
        """Keep a response with its bill, then count it.

        Raises:
            RunStop: where it cannot be kept: a response that is not on disk is not used.
        """
        call = current_call.get()
        asked = call is None or call.started is not None
        bill = bill_of(*_told(value), call) if asked else None
        self._keep(self._key_of(call, request, ignored_args_for_cache_key), value, bill, call)
        if bill is not None:
            self._count(bill, call)

    @contextmanager
    def passing_by(
        self, call: Call, request: dict[str, Any]
    ) -> Iterator[Callable[[dict[str, Any], float | None], None]]:
        """A call that DSPy does not look up here: admitted, and billed by what the yielded function is told.

        Its bill is kept, its response is not: a resumed run counts it and asks again.
        """
        self._admit(call, request)

        def told(usage: dict[str, Any], cost: float | None) -> None:
            bill = bill_of(usage, cost, call)
            self._keep(f"passing by {uuid4().hex}", None, bill, call)
            self._count(bill, call)

        yield told

    def _admit(self, call: Call, request: dict[str, Any]) -> None:
        call.chars = asked_chars(request)
        waited = call.meter.admit(call.role, call.chars, call.waits)
        call.started = time.perf_counter()
        tally = current_tally()
        if tally is not None:
            with self._flights_lock:
                tally.waited_seconds += waited

    def timed_out(self, call: Call) -> None:
        """Keep and count a call whose response did not come in time, if it was sent at all."""
        if call.started is None:
            return
        bill = Bill(call.role, None, None, None, prompt_chars=call.chars, timed_out=True)
        self._keep(f"timed out {uuid4().hex}", None, bill, call)
        call.meter.timed_out(bill)

    def _count(self, bill: Bill, call: Call | None) -> None:
        if call is not None:
            call.started = None
        (call.meter if call is not None else self._meter).billed(bill, None if call is None else call.chars)
        tally = current_tally()
        if tally is not None:
            with self._flights_lock:
                tally.add(bill)

    def _key_of(self, call: Call | None, request: dict[str, Any], ignored: list[str] | None) -> str:
        """The key under which a call looked for its response, not reckoned twice."""
        return call.keys[0] if call is not None and len(call.keys) == 1 else self.cache_key(request, ignored)

    def _keep(self, key: str, response: Any, bill: Bill | None, call: Call | None) -> None:
        try:
            self._file.add(key, response, bill)
        except (OSError, ValueError) as error:  # a ValueError where the run has ended and let go of the file
            message = f"a response cannot be written to {self._file.path}: {error}; {_FREE_DISK}"
            if call is not None:
                call.meter.stop("unreachable", message)
            raise RunStop("unreachable", message) from error


def _told(value: Any) -> tuple[dict[str, Any], float | None]:
    """The usage and the cost (USD) that a response tells of."""
    if isinstance(value, dict):
        return value.get("usage") or {}, value.get("cost")
    usage, hidden = getattr(value, "usage", None) or {}, getattr(value, "_hidden_params", None) or {}
    return dict(usage), hidden.get("response_cost")
