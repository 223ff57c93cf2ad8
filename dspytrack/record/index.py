"""Finds records in a folder: all of them, or one by an id. A damaged record never keeps the others from being read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from dspytrack.errors import DamagedError, NotFoundError
from dspytrack.record.store import RUNS_DIR, Record

T = TypeVar("T")


def all_records(root: Path = RUNS_DIR) -> list[Record]:
    """Every record under a folder, newest first."""
    folders = sorted(root.glob("*/run.json"), reverse=True) if root.is_dir() else []
    return [Record(path.parent) for path in folders]


def read_each(read: Callable[[Record], T], root: Path, warn: Callable[[str], None]) -> Iterator[tuple[Record, T]]:
    """Every record under a folder, newest first, with what is read from it; damaged ones are left out.

    Args:
        read: reads a record.
        root: the folder.
        warn: is given a line for each damaged record.
    """
    for record in all_records(root):
        try:
            found = read(record)
        except DamagedError as error:
            warn(f"{error}; left out")
            continue
        yield record, found


def find(run_id: str, root: Path = RUNS_DIR) -> Record:
    """A record by its own id or that of its MLflow run.

    Raises:
        NotFoundError: where there is none.
    """
    for record in all_records(root):
        if run_id == record.run_id or run_id == _mlflow_run_id(record):
            return record
    raise NotFoundError(f"no record of a run {run_id} under {root}")


def _mlflow_run_id(record: Record) -> str | None:
    try:
        return record.tracking.mlflow_run_id
    except DamagedError:  # of another record: no reason not to find this one
        return None
