"""The LM responses of a run in one file: a line each, with its bill, on disk before the response is used.

    {"key": "…", "bill": {…} or null, "response": …}

Owns the file alone: JSON, nothing that could run code when it is read. What a key is, `cache.py` says.
"""

from __future__ import annotations

import errno
import json
import threading
from pathlib import Path
from typing import Any

import orjson

from dspytrack.lm.metering.usage import Bill


class ResponseLog:
    """Responses by key. A line is written whole or not at all; a damaged one is as if it were not there."""

    def __init__(self, path: Path) -> None:
        """Open a log, made where it is not there; a torn last line is cut off.

        Args:
            path: of the file.

        Raises:
            OSError: where it cannot be opened.
        """
        self.path = path
        self.bills: list[tuple[str, Bill]] = []
        """What each response was billed, as written before this log was opened; those that cost nothing left out."""
        self.damaged = 0
        """Lines that cannot be read."""
        self._places: dict[str, tuple[int, int]] = {}
        self._end = 0
        self._lock = threading.Lock()  # protects the file's position and the places
        path.touch()
        self._file = path.open("r+b", buffering=0)
        self._scan()

    def _scan(self) -> None:
        """Note where each response lies."""
        with self.path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._note(line)
                self._end += len(line)
        self._file.truncate(self._end)

    def _note(self, line: bytes) -> None:
        try:
            key, bill = key_and_bill(line)
        except ValueError:
            self.damaged += 1
            return
        self._places[key] = (self._end, len(line))
        if bill is not None:
            self.bills.append((key, bill))

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def get(self, key: str) -> Any:
        """The response, new each time; None where there is none that can be read."""
        with self._lock:
            place = self._places.get(key)
            if place is None:
                return None
            self._file.seek(place[0])
            line = self._file.read(place[1])
        try:
            return _parsed(line)["response"]
        except (ValueError, KeyError, TypeError, RecursionError):
            with self._lock:
                self._places.pop(key, None)
                self.damaged += 1
            return None

    def add(self, key: str, response: Any, bill: Bill | None) -> None:
        """Write one response. One that JSON cannot hold is left out: its bill stays, and it is asked for again.

        Raises:
            OSError: where it cannot be written; the file is then as it was.
        """
        line = _line({"key": key, "bill": vars(bill) if bill else None}, response)
        with self._lock:
            try:
                self._file.seek(self._end)
                if self._file.write(line) != len(line):
                    raise OSError(errno.ENOSPC, "no space left on the device")
            except OSError:
                self._file.truncate(self._end)
                raise
            self._places[key] = (self._end, len(line))
            self._end += len(line)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _line(head: dict[str, Any], response: Any) -> bytes:
    document = {**head, "response": response}
    try:
        return orjson.dumps(document) + b"\n"
    except TypeError:  # a lone surrogate or a large number, which Python's own JSON can write
        try:
            return json.dumps(document).encode("ascii") + b"\n"
        except (TypeError, ValueError, RecursionError):
            return orjson.dumps({**head, "response": None}) + b"\n"


def key_and_bill(line: bytes) -> tuple[str, Bill | None]:
    """The key of a line, and its bill: None for a response that cost nothing.

    Raises:
        ValueError: where the line is damaged.
    """
    try:
        found = _parsed(line)
        bill = found["bill"]
        return str(found["key"]), None if bill is None else Bill(**bill)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError("not a line of a response log") from error


def _parsed(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:  # what `_line` left to Python's own JSON
        return json.loads(line)
