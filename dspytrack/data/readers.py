"""JSONL, JSON, CSV and Parquet files -> rows, each with its place. Owns the formats; `dataset.py` checks the rows."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from dspytrack.errors import ConfigError

LONGEST_CELL = 2**31 - 1  # characters; Python's own limit is 131,072, and passages of text are longer


class DataRow(NamedTuple):
    """A row's fields and its place: `file:line`, or the row's number where the file has no lines."""

    fields: dict[str, Any]
    place: str


def read_rows(path: Path, key: str) -> list[DataRow]:
    """Read a file by its ending; text is UTF-8, with or without a byte order mark.

    Args:
        path: of the file.
        key: the config key that names it, for errors.

    Raises:
        ConfigError: where the file is missing, unreadable, of an unknown kind, empty or broken.
    """
    if not path.is_file():
        raise ConfigError(f"no such file: {path}", key=key)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ConfigError(f"expected a file ending in {', '.join(_READERS)}, not {path.name}", key=key)
    try:
        rows = reader(path)
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8 text: {error}", file=path, key=key) from error
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror or error}", file=path, key=key) from error
    if not rows:
        raise ConfigError("has no examples", file=path, key=key)
    return rows


def _read_jsonl(path: Path) -> list[DataRow]:
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), 1):
        if not line.strip():
            continue
        rows.append(_object(_parsed(line, path, number), path, number))
    return rows


def _read_json(path: Path) -> list[DataRow]:
    rows = _parsed(path.read_text(encoding="utf-8-sig"), path)
    if not isinstance(rows, list):
        raise ConfigError("expected a list of objects", file=path)
    return [_object(row, path, number) for number, row in enumerate(rows, 1)]


def _parsed(text: str, path: Path, line: int | None = None) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"not JSON: {error.msg}", file=path, line=line or error.lineno) from error
    except RecursionError as error:
        raise ConfigError("is nested too deeply", file=path, line=line) from error
    except ValueError as error:  # Python reads no integer of thousands of digits
        raise ConfigError(f"cannot be read: {str(error).split(';')[0]}", file=path, line=line) from error


def _object(row: Any, path: Path, number: int) -> DataRow:
    if not isinstance(row, dict):
        raise ConfigError(f"expected a JSON object, not {type(row).__name__}", file=path, line=number)
    return DataRow(row, f"{path.name}:{number}")


def _read_csv(path: Path) -> list[DataRow]:
    with path.open(encoding="utf-8-sig", newline="") as file, _long_cells():
        reader = csv.DictReader(file)
        rows = []
        try:
            _check_header(reader.fieldnames or (), path)
            for row in reader:
                if None in row or None in row.values():
                    raise ConfigError("has another number of columns than the header", file=path, line=reader.line_num)
                rows.append(DataRow(dict(row), f"{path.name}:{reader.line_num}"))
        except csv.Error as error:
            raise ConfigError(f"not CSV: {error}", file=path, line=reader.reader.line_num) from error
    return rows


def _check_header(names: Sequence[str], path: Path) -> None:
    """Of two columns with the same name, a row would keep only the last."""
    for name, count in Counter(names).items():
        if count > 1:
            raise ConfigError(f"the header has the column `{name}` {count} times; rename one", file=path, line=1)


@contextmanager
def _long_cells() -> Iterator[None]:
    before = csv.field_size_limit(LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _read_parquet(path: Path) -> list[DataRow]:
    import pyarrow
    import pyarrow.parquet

    try:
        rows = pyarrow.parquet.read_table(path).to_pylist()
    except pyarrow.ArrowException as error:
        raise ConfigError(f"not Parquet: {error}", file=path) from error
    return [DataRow(row, f"{path.name}:{number}") for number, row in enumerate(rows, 1)]


_READERS = {".jsonl": _read_jsonl, ".json": _read_json, ".csv": _read_csv, ".parquet": _read_parquet}
