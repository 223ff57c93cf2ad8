"""The run's own LM responses: each on disk with its bill before it is used, each request in flight asked once.

DSPy looks a request up here before it asks and puts the response here before it returns it. What a response cost
lies beside it, so that a resumed run knows what was paid without a second book.
"""

from __future__ import annotations

import copy
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dspy
from dspy.clients.cache import Cache
from dspy.clients.disk_serialization import DeserializationError

from dspytrack.errors import RunStop
from dspytrack.optimization.budget import Meter
from dspytrack.optimization.usage import Bill, Tally
from dspytrack.request import Price

OWN = "own"
_FREE_DISK = "free some space and resume the run"


@dataclass
class Call:
    """One LM call on its way: who asks, which server (`place`), and whether a request of it is under way."""

    role: str
    meter: Meter
    price: Price | None
    free: bool
    place: str = ""
    waits: bool = True
    started: float | None = None
    keys: list[str] = field(default_factory=list)


current_call: ContextVar[Call | None] = ContextVar("dspytrack_call", default=None)


@contextmanager
def tallied(namespace: str = "") -> Iterator[Tally]:
    """Count the calls made inside; a namespace keeps them apart from all other responses of the run.

    Both stand in DSPy's own settings, which its threads (dspy.Parallel) take along.
    """
    tally = Tally()
    with dspy.context(dspytrack_tally=tally, dspytrack_namespace=namespace):
        yield tally


def _own_tally() -> Tally | None:
    found: Tally | None = dspy.settings.get("dspytrack_tally")
    return found


def count_failure() -> None:
    """Count a failed call where the calls are being tallied."""
    tally = _own_tally()
    if tally is not None:
        tally.failed += 1


class InFlight(Exception):
    """The same request is on its way already: an awaiting caller, who may not block a thread, waits for `landed`."""

    def __init__(self, landed: threading.Event) -> None:
        self.landed = landed
        super().__init__("the same request is in flight")


class RunCache(Cache):  # type: ignore[misc]
    """A run's responses by request. Stored as {"response": …, "bill": …}.

    An LM that the run did not build, such as one that a program opens by itself, is billed to the role "own".
    """

    def __init__(self, folder: Path, meter: Meter | None = None) -> None:
        _mend(folder)
        self._meter = meter or Meter()
        super().__init__(
            enable_disk_cache=True,
            enable_memory_cache=True,
            disk_cache_dir=str(folder),
            disk_size_limit_bytes=1 << 40,
            memory_max_entries=100_000,
            restrict_pickle=True,
        )
        self._flights: dict[str, threading.Event] = {}
        self._flights_lock = threading.Lock()  # protects the requests in flight and the replays
        self._kept_keys = {str(key) for key in self.disk_cache}  # what is not among them is not looked for on disk
        self._to_replay = {str(key): bill for key, bill in self._bills()}

    def _bills(self) -> Iterator[tuple[str, Bill]]:
        for key in list(self.disk_cache):
            stored = self._stored(key)
            if stored is not None and stored["bill"] is not None:
                yield key, Bill(**stored["bill"])

    @property
    def paid(self) -> list[Bill]:
        """What earlier sittings of this run paid for."""
        return list(self._to_replay.values())

    def cache_key(self, request: dict[str, Any], ignored_args_for_cache_key: list[str] | None = None) -> str:
        """The request's hash within the current namespace, at the server that is asked."""
        call = current_call.get()
        place = f"{call.place}:" if call is not None and call.place else ""
        namespace = dspy.settings.get("dspytrack_namespace") or ""
        return f"{namespace}{place}{super().cache_key(request, ignored_args_for_cache_key)}"

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
                self._meter.admit()
                self._meter.abandoned()  # whether it comes home is not known here
                return None
            flight = self._take_off(key, call)
            if flight is None:
                found = self._response(key, on_disk=False)  # another call may have landed since the first look
                if found is not None:
                    self._count_hit(key, call)
                    return found
                call.meter.admit()
                call.started = time.perf_counter()
                return None
            if not call.waits:
                raise InFlight(flight)
            flight.wait()

    def _stored(self, key: str) -> dict[str, Any] | None:
        try:
            found = self.disk_cache.get(key, retry=True)
        except DeserializationError:
            self.disk_cache.delete(key, retry=True)
            return None
        return found if isinstance(found, dict) and "bill" in found else None

    def _response(self, key: str, on_disk: bool = True) -> Any:
        with self._lock:
            found = self.memory_cache.get(key)
        if found is None and on_disk and key in self._kept_keys:
            stored = self._stored(key)
            found = None if stored is None else stored["response"]
            if found is not None:
                with self._lock:
                    self.memory_cache[key] = found
        return None if found is None else self._prepare_cached_response(copy.deepcopy(found))

    def _count_hit(self, key: str, call: Call) -> None:
        """The first use of a response from an earlier sitting counts as it did then; any other is a cached call."""
        tally = _own_tally()
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
        bill = _bill(value, call) if asked else None
        key = self.cache_key(request, ignored_args_for_cache_key)
        self._keep(key, {"response": value, "bill": dict(vars(bill)) if bill else None}, call)
        with self._lock:
            self.memory_cache[key] = value
            self._kept_keys.add(key)
        if bill is None:
            return
        if call is not None:
            call.started = None
        (call.meter if call is not None else self._meter).billed(bill, admitted=call is not None)
        tally = _own_tally()
        if tally is not None:
            with self._flights_lock:
                tally.add(bill)

    def _keep(self, key: str, stored: dict[str, Any], call: Call | None) -> None:
        try:
            kept = self.disk_cache.set(key, stored, retry=True)
        except (OSError, sqlite3.Error) as error:
            message = f"a response cannot be written to {self.disk_cache_dir}: {error}; {_FREE_DISK}"
            if call is not None:
                call.meter.stop("unreachable", message)
            raise RunStop("unreachable", message) from error
        if not kept:
            raise RunStop("unreachable", f"{self.disk_cache_dir} did not take a response in time; resume the run")


@contextmanager
def response_cache(folder: Path, meter: Meter | None = None) -> Iterator[RunCache]:
    """Let every DSPy call inside find and keep its responses in a run's own folder.

    Args:
        folder: of the run.
        meter: what calls of LMs that the run did not build are counted and capped by.
    """
    before = dspy.cache
    cache = RunCache(folder, meter)
    dspy.cache = cache
    try:
        yield cache
    finally:
        dspy.cache = before
        cache.disk_cache.close()


def _mend(folder: Path) -> None:
    """Put aside a shard that is no database any more: its responses are asked again, the others are kept."""
    for shard in sorted(folder.glob("*/cache.db")):
        try:
            with sqlite3.connect(shard) as database:
                (verdict,) = database.execute("PRAGMA quick_check").fetchone()
        except sqlite3.DatabaseError as error:
            verdict = str(error)
        if verdict == "ok":
            continue
        for file in shard.parent.glob("cache.db*"):
            file.rename(file.with_name(f"broken-{file.name}"))


def _bill(value: Any, call: Call | None) -> Bill:
    """What a response took, by the run's own price where one is given."""
    seconds = None if call is None or call.started is None else time.perf_counter() - call.started
    if isinstance(value, dict):
        usage, cost = value.get("usage") or {}, value.get("cost")
    else:
        usage = dict(getattr(value, "usage", None) or {})
        cost = (getattr(value, "_hidden_params", None) or {}).get("response_cost")
    prompt, completion = int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
    if call is not None and call.free:
        cost = 0.0
    elif call is not None and call.price is not None:
        known = "prompt_tokens" in usage and "completion_tokens" in usage
        spent = (prompt * call.price.input_per_million + completion * call.price.output_per_million) / 1e6
        cost = spent if known else None
    return Bill(
        call.role if call is not None else OWN, prompt, completion, None if cost is None else float(cost), seconds
    )
