"""The run's responses by request: a plain store on the response log, and each request in flight asked once.

Owns what a key is. When a response is looked up and what it is billed, `calls.py` says.
"""

from __future__ import annotations

import threading
from hashlib import sha256
from typing import Any

from dspytrack.lm.metering.response_log import ResponseLog
from dspytrack.lm.metering.usage import Bill


def response_key(request_hash: str, namespace: str, server: str) -> str:
    """The key of a response.

    Args:
        request_hash: of all that alters the response, the server left out.
        namespace: that the request belongs to.
        server: the address that is asked; it may hold a password, so that only a hash of it is in the key.
    """
    place = f"{sha256(server.encode()).hexdigest()[:12]}:" if server else ""
    return f"{namespace}{place}{request_hash}"


class ResponseCache:
    """A run's responses, those of earlier attempts included."""

    def __init__(self, log: ResponseLog) -> None:
        self._log = log
        self._to_replay = dict(log.bills)
        self._in_flight: dict[str, threading.Event] = {}
        self._lock = threading.Lock()  # protects the requests in flight and the bills to replay

    @property
    def billed(self) -> list[Bill]:
        """What earlier attempts of this run were billed."""
        return [bill for _, bill in self._log.bills]

    @property
    def damaged(self) -> int:
        """Responses of earlier attempts that cannot be read and are asked for again."""
        return self._log.damaged

    @property
    def place(self) -> str:
        """Where the responses are kept."""
        return str(self._log.path)

    def get(self, key: str) -> Any:
        """A response, new each time, or None."""
        return self._log.get(key)

    def put(self, key: str, response: Any, bill: Bill) -> None:
        """Keep a response with its bill; None as the response keeps the bill alone.

        Raises:
            OSError: where it cannot be written.
            ValueError: where the run has ended and the log is closed.
        """
        self._log.add(key, response, bill)

    def first_use(self, key: str) -> Bill | None:
        """The bill of a response from an earlier attempt, once; None for every other use."""
        with self._lock:
            return self._to_replay.pop(key, None)

    def claim(self, key: str) -> threading.Event | None:
        """None where the caller is the one to ask for a response, else the event to wait for."""
        with self._lock:
            flight = self._in_flight.get(key)
            if flight is None:
                self._in_flight[key] = threading.Event()
            return flight

    def release(self, key: str) -> None:
        """End a claim: those who wait for it look again."""
        with self._lock:
            self._in_flight.pop(key).set()
