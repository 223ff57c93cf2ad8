"""The LM responses of a run in one file: a line each, with its bill, on disk before the response is used.

    {"key": "…", "bill": {…} or null, "response": …}

Owns the file alone; what a key is and when a response is looked up is `responses.py`'s.
"""

from __future__ import annotations

import base64
import errno
import io
import pickle
import threading
from pathlib import Path
from typing import Any

import orjson
from dspy.clients.disk_serialization import DeserializationError, _restricted_load

from dspytrack.lm.metering.usage import Bill


class ResponseFile:
    """Responses by key. A line is written whole or not at all; a damaged one is as if it were not there.

    A response that JSON cannot carry, such as an object of LiteLLM's, is pickled, and read back by DSPy's restricted
    unpickler: a line that names any other class is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bills: list[tuple[str, Bill]] = []
        """What each response took, as it was written before this file was opened; those that cost nothing left out."""
        self.damaged = 0
        """Lines that cannot be read."""
        self._places: dict[str, tuple[int, int]] = {}
        self._end = 0
        self._lock = threading.Lock()  # protects the file's position and the places
        path.touch()
        self._file = path.open("r+b", buffering=0)
        self._survey()

    def _survey(self) -> None:
        """Note where each response lies; a torn last line goes."""
        with self.path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._note(line)
                self._end += len(line)
        self._file.truncate(self._end)

    def _note(self, line: bytes) -> None:
        try:
            found = orjson.loads(line)
            key, bill = found["key"], found["bill"]
            bill = None if bill is None else Bill(**bill)
        except (orjson.JSONDecodeError, KeyError, TypeError):
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
            found = orjson.loads(line)
            if "pickle" not in found:
                return found["response"]
            return _restricted_load(io.BytesIO(base64.b64decode(found["pickle"])), frozenset())
        except (orjson.JSONDecodeError, KeyError, ValueError, DeserializationError):
            with self._lock:
                self._places.pop(key, None)
            self.damaged += 1
            return None

    def add(self, key: str, response: Any, bill: Bill | None) -> None:
        """Write one response.

        Raises:
            OSError: where it cannot be written; the file is then as it was.
        """
        line = orjson.dumps({"key": key, "bill": vars(bill) if bill else None, **_carried(response)}) + b"\n"
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
        """Let go of the file."""
        self._file.close()


def _carried(response: Any) -> dict[str, Any]:
    """The response as JSON where it comes back as it was, else pickled."""
    try:
        if orjson.loads(orjson.dumps(response)) == response:
            return {"response": response}
    except TypeError:  # what JSON has no word for
        pass
    return {"pickle": base64.b64encode(pickle.dumps(response, pickle.HIGHEST_PROTOCOL)).decode("ascii")}
