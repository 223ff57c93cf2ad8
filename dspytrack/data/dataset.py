"""Files -> sealed train, val and test examples, with an id for each and a fingerprint of all.

The split is a pure function of the examples, the shares and the seed. What is in `test` reaches
nothing but the two final evaluations.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dspytrack.config.schema import Dataset, Split
from dspytrack.data.readers import read_rows
from dspytrack.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    import dspy

SPLITS = ("train", "val", "test")
_OWN_NAMES = {"base", "self"}  # arguments of dspy.Example itself: a column of such a name would be lost
_HIDDEN = "dspy_"  # what dspy.Example hides from a program's inputs


@dataclass(frozen=True)
class Item:
    """One example: its fields, its id (a hash of the fields), where it was written, and a hash of its inputs alone.

    Examples with the same inputs are one to a program: they stay in one split.
    """

    example_id: str
    fields: dict[str, Any]
    place: str
    asked: str = ""

    @property
    def group(self) -> str:
        """What may not sit in two splits."""
        return self.asked or self.example_id


@dataclass(frozen=True)
class Splits:
    """The sealed splits and a fingerprint of ids, order and splits."""

    train: list[Item]
    val: list[Item]
    test: list[Item]
    fingerprint: str


def load_splits(spec: Dataset, base_dir: Path, seed: int, rows: Sequence[Mapping[str, Any]] | None = None) -> Splits:
    """Read and split the examples of a request.

    Args:
        spec: the request's `dataset`.
        base_dir: where relative paths start.
        seed: of the shuffle.
        rows: examples handed in by a caller instead of files.

    Raises:
        ConfigError: for a bad file, row, column, an empty split or an example that sits in two splits.
    """
    if rows is None and spec.path is None:
        if spec.train is None or spec.test is None:
            raise ConfigError("give `path`, or `train` and `test`", key="dataset")
        files = {"train": spec.train, "val": spec.val, "test": spec.test}
        splits = {name: _read(base_dir / file, f"dataset.{name}") if file else [] for name, file in files.items()}
        for items in splits.values():
            _check_columns(items, spec)
        splits = {name: _with_inputs(items, spec.inputs) for name, items in splits.items()}
    else:
        items = (
            _read(base_dir / str(spec.path), "dataset.path")
            if rows is None
            else [_item(dict(row), f"training_data[{i}]") for i, row in enumerate(rows)]
        )
        if len(items) < 2:
            raise ConfigError(f"needs 2 or more examples, found {len(items)}", file=spec.path, key="dataset.path")
        _check_columns(items, spec)
        splits = split(_with_inputs(items, spec.inputs), spec.split, seed, spec.stratify)
    _check_sealed(splits)
    for name in ("train", "test"):
        if not splits[name]:
            raise ConfigError(f"the {name} split is empty: give more examples or a larger share", key="dataset.split")
    if spec.path is not None and spec.split.val > 0 and not splits["val"]:
        raise ConfigError("the val split is empty: give more examples or a larger share", key="dataset.split")
    return Splits(**{name: _distinct(items) for name, items in splits.items()}, fingerprint=_fingerprint(splits))


def split(items: list[Item], shares: Split, seed: int, stratify: str | None = None) -> dict[str, list[Item]]:
    """Split examples by shares: seeded, independent of their order in the file, those with the same inputs together.

    With `stratify`, each value of that field is split by the same shares (largest remainders).
    """
    groups: dict[str, dict[str, list[Item]]] = defaultdict(dict)
    strata: dict[str, str] = {}
    for item in sorted(items, key=lambda one: one.example_id):
        stratum = strata.setdefault(item.group, str(item.fields.get(stratify)) if stratify else "")
        groups[stratum].setdefault(item.group, []).append(item)
    splits: dict[str, list[Item]] = {name: [] for name in SPLITS}
    carry = dict.fromkeys(SPLITS, 0.0)
    for stratum in sorted(groups):
        ids = sorted(groups[stratum])
        random.Random(f"{seed}:{stratum}").shuffle(ids)
        exact = {name: len(ids) * float(getattr(shares, name)) + carry[name] for name in SPLITS}
        counts = _round(exact, len(ids))
        carry = {name: exact[name] - counts[name] for name in SPLITS}
        start = 0
        for name in SPLITS:
            for one in ids[start : start + counts[name]]:
                splits[name].extend(groups[stratum][one])
            start += counts[name]
    for name in SPLITS:
        random.Random(f"{seed}:{name}").shuffle(splits[name])
    return splits


def _round(exact: Mapping[str, float], total: int) -> dict[str, int]:
    """Whole numbers near the exact ones that add up to `total` (largest remainders)."""
    counts = {name: max(0, int(value)) for name, value in exact.items()}
    order = sorted(exact, key=lambda name: exact[name] - counts[name], reverse=True)
    for name in order:
        if sum(counts.values()) >= total:
            break
        counts[name] += 1
    while sum(counts.values()) > total:
        name = max(counts, key=lambda one: counts[one] - exact[one])
        counts[name] -= 1
    while sum(counts.values()) < total:
        counts[order[0]] += 1
    return counts


def to_examples(items: Sequence[Item], inputs: Sequence[str]) -> list[dspy.Example]:
    """DSPy examples with their inputs marked, each carrying no more than its fields."""
    import dspy

    return [dspy.Example(**item.fields).with_inputs(*inputs) for item in items]


def _read(path: Path, key: str) -> list[Item]:
    return [_item(row.fields, row.place) for row in read_rows(path, key)]


def _item(fields: dict[str, Any], place: str) -> Item:
    try:
        return Item(_hash(fields), fields, place)
    except ValueError as error:
        name = next((name for name, value in fields.items() if _is_no_json({name: value})), "")
        said = f"`{name}` at {place} holds NaN or Infinity; leave it out or write null"
        raise ConfigError(said, key="dataset") from error


def _is_no_json(fields: dict[str, Any]) -> bool:
    try:
        _hash(fields)
    except ValueError:
        return True
    return False


def _hash(fields: Mapping[str, Any]) -> str:
    text = json.dumps(fields, sort_keys=True, ensure_ascii=False, default=str, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _with_inputs(items: list[Item], inputs: Sequence[str]) -> list[Item]:
    return [replace(item, asked=_hash({name: item.fields[name] for name in inputs})) for item in items]


def _check_columns(items: list[Item], spec: Dataset) -> None:
    lost = _OWN_NAMES | {name for name in spec.inputs if name.startswith(_HIDDEN)}
    for item in items:
        for name in item.fields:
            if name in lost:
                said = f"the column `{name}` ({item.place}) would be lost: DSPy keeps that name for itself; rename it"
                raise ConfigError(said, key="dataset.inputs" if name in spec.inputs else "dataset")
        wanted = {"dataset.inputs": spec.inputs, "dataset.stratify": [spec.stratify] if spec.stratify else []}
        for key, names in wanted.items():
            for name in names:
                if name not in item.fields:
                    near = did_you_mean(name, item.fields)
                    has = ", ".join(item.fields) or "nothing"
                    raise ConfigError(f"the data has no `{name}` at {item.place}.{near} It has: {has}.", key=key)


def _check_sealed(splits: Mapping[str, list[Item]]) -> None:
    """No example may sit in two splits: the test would not be one."""
    seen: dict[str, tuple[str, str]] = {}
    for name in SPLITS:
        for item in splits[name]:
            other, place = seen.setdefault(item.group, (name, item.place))
            if other != name:
                raise ConfigError(
                    f"the same inputs are in {other} ({place}) and in {name} ({item.place}); remove one", key="dataset"
                )


def _distinct(items: list[Item]) -> list[Item]:
    """The same examples, a repeated one told apart by a number behind its id."""
    seen: dict[str, int] = defaultdict(int)
    found = []
    for item in items:
        seen[item.example_id] += 1
        count = seen[item.example_id]
        found.append(item if count == 1 else replace(item, example_id=f"{item.example_id}-{count}"))
    return found


def _fingerprint(splits: Mapping[str, list[Item]]) -> str:
    text = json.dumps({name: [item.example_id for item in splits[name]] for name in SPLITS})
    return hashlib.sha256(text.encode()).hexdigest()
