"""Rows -> items: labelled examples, each with an id, its place in the data and a hash of its inputs.

Owns the checks of columns and values. Files are read by `readers.py`, the splits are made by `splits.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dspytrack.config.schema import Dataset
from dspytrack.data.readers import DataRow
from dspytrack.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    import dspy

_OWN_NAMES = {"base", "self"}  # arguments of dspy.Example itself: a column of such a name would be lost
_HIDDEN = "dspy_"  # dspy.Example hides such fields from a program's inputs


@dataclass(frozen=True)
class Item:
    """A labelled example.

    `example_id` is a hash of `fields`, `inputs_hash` one of the inputs alone; `place` is where it was written, such as
    `data.jsonl:3`.
    """

    example_id: str
    fields: dict[str, Any]
    place: str
    inputs_hash: str = ""

    @property
    def group(self) -> str:
        """The same for all examples with the same inputs: they must stay in one split."""
        return self.inputs_hash or self.example_id


def to_items(rows: Iterable[DataRow], spec: Dataset) -> list[Item]:
    """Check rows and give each its id.

    Args:
        rows: as read from a file, or given by a caller.
        spec: the request's `dataset`; its `inputs` and `stratify` must be columns.

    Raises:
        ConfigError: for a column that is missing or that DSPy keeps for itself, and for NaN or Infinity.
    """
    items = []
    for row in rows:
        _check_columns(row, spec)
        try:
            inputs_hash = _hash({name: row.fields[name] for name in spec.inputs})
            items.append(Item(_hash(row.fields), row.fields, row.place, inputs_hash))
        except ValueError as error:
            name = next(name for name, value in row.fields.items() if not _is_json(value))
            message = f"`{name}` at {row.place} holds NaN or Infinity; leave it out or write null"
            raise ConfigError(message, key="dataset") from error
    return items


def to_example(item: Item, inputs: Sequence[str]) -> dspy.Example:
    """A DSPy example of an item's fields, its inputs marked."""
    import dspy

    return dspy.Example(**item.fields).with_inputs(*inputs)


def to_examples(items: Iterable[Item], inputs: Sequence[str]) -> list[dspy.Example]:
    """Each item as by `to_example`."""
    return [to_example(item, inputs) for item in items]


def _check_columns(row: DataRow, spec: Dataset) -> None:
    for name in row.fields:
        is_input = name in spec.inputs
        if name in _OWN_NAMES or (is_input and name.startswith(_HIDDEN)):
            message = f"the column `{name}` ({row.place}) would be lost: DSPy keeps that name for itself; rename it"
            raise ConfigError(message, key="dataset.inputs" if is_input else "dataset")
    wanted = {"dataset.inputs": spec.inputs, "dataset.stratify": [spec.stratify] if spec.stratify else []}
    for key, names in wanted.items():
        for name in names:
            if name not in row.fields:
                near, has = did_you_mean(name, row.fields), ", ".join(row.fields) or "nothing"
                raise ConfigError(f"the data has no `{name}` at {row.place}.{near} It has: {has}.", key=key)


def _is_json(value: Any) -> bool:
    try:
        _hash({"": value})
    except ValueError:
        return False
    return True


def _hash(fields: Mapping[str, Any]) -> str:
    text = json.dumps(fields, sort_keys=True, ensure_ascii=False, default=str, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
