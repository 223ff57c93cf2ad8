"""JSON and JSON-lines files that survive a crash: put in place whole, read back as values, a damaged one named.

Knows nothing of runs; what lies where in a record is `store.py`'s.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from dspytrack.errors import DamagedError

V = TypeVar("V", bound=BaseModel)


def write_text(path: Path, text: str) -> None:
    """Put a text file in place whole (temporary file, fsync, rename)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def write_json(path: Path, value: Any) -> None:
    """Put a JSON document in place whole; what JSON cannot hold is written as text."""
    data = value.model_dump(mode="json", fallback=str) if isinstance(value, BaseModel) else value
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False, default=str) + "\n")


def read_json(path: Path) -> Any:
    """A JSON document, None where there is no such file.

    Raises:
        DamagedError: where it is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except ValueError as error:
        raise DamagedError(path, str(error)) from error


def read_model(path: Path, kind: type[V], **known: Any) -> V | None:
    """A JSON document as a value, None where there is no such file; fields that `kind` does not know are ignored.

    Args:
        path: of the file.
        kind: of the value.
        known: fields whose value is known without the file; they take the place of what it says.

    Raises:
        DamagedError: where it cannot be read, naming the field.
    """
    found = read_json(path)
    if found is None:
        return None
    try:
        return kind.model_validate(found | known if isinstance(found, dict) else found, extra="ignore")
    except ValidationError as error:
        raise DamagedError(path, _first_fault(error)) from error


def read_lines(path: Path) -> list[bytes]:
    """The whole lines of a JSON-lines file; a torn last line is left out."""
    if not path.is_file():
        return []
    data = path.read_bytes()  # a line may be torn inside a character, and hold other line ends than this one
    return [line for line in data[: data.rfind(b"\n") + 1].split(b"\n") if line]


def read_values(path: Path, kind: type[V]) -> list[V]:
    """The lines of a JSON-lines file as values; fields that `kind` does not know are ignored.

    Raises:
        DamagedError: where a line cannot be read, naming its number and the field.
    """
    found = []
    for number, line in enumerate(read_lines(path), start=1):
        try:
            found.append(kind.model_validate_json(line, extra="ignore"))
        except ValidationError as error:
            raise DamagedError(f"{path}:{number}", _first_fault(error)) from error
    return found


def _first_fault(error: ValidationError) -> str:
    first = error.errors()[0]
    return ": ".join(filter(None, [".".join(map(str, first["loc"])), first["msg"]]))
