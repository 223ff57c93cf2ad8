"""A request's dataset -> sealed train, val and test splits, with a fingerprint of all three.

A split is a pure function of the examples, the shares and the seed. What is in `test` reaches only the baseline and
the final evaluation.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dspytrack.config.schema import Dataset, Split
from dspytrack.data.dataset import Item, to_items
from dspytrack.data.readers import DataRow, read_rows
from dspytrack.errors import ConfigError

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Splits:
    """The items of each split, and a fingerprint of their ids and order."""

    train: list[Item]
    val: list[Item]
    test: list[Item]
    fingerprint: str


def load_splits(spec: Dataset, base_dir: Path, seed: int, rows: Sequence[Mapping[str, Any]] | None = None) -> Splits:
    """Read the examples of a request and split them, where its files are not splits already.

    Args:
        spec: the request's `dataset`.
        base_dir: where relative paths start.
        seed: of the shuffle.
        rows: examples given by a caller instead of files.

    Raises:
        ConfigError: for a bad file, row or column, an empty split, or the same inputs in two splits.
    """
    if rows is None and spec.path is None:
        splits = _read_each(spec, base_dir)
    else:
        if rows is None:
            items = to_items(read_rows(base_dir / str(spec.path), "dataset.path"), spec)
        else:
            items = to_items((DataRow(dict(row), f"training_data[{i}]") for i, row in enumerate(rows)), spec)
        if len(items) < 2:
            raise ConfigError(f"needs 2 or more examples, found {len(items)}", file=spec.path, key="dataset.path")
        splits = split(items, spec.split, seed, spec.stratify)
    _check_sealed(splits)
    needed = SPLITS if spec.path is not None and spec.split.val > 0 else ("train", "test")
    for name in needed:
        if not splits[name]:
            raise ConfigError(f"the {name} split is empty: give more examples or a larger share", key="dataset.split")
    return Splits(**{name: _distinct(items) for name, items in splits.items()}, fingerprint=_fingerprint(splits))


def _read_each(spec: Dataset, base_dir: Path) -> dict[str, list[Item]]:
    """The splits from a file each; val may be left out."""
    if spec.train is None or spec.test is None:
        raise ConfigError("give `path`, or `train` and `test`", key="dataset")
    files = {"train": spec.train, "val": spec.val, "test": spec.test}
    return {
        name: to_items(read_rows(base_dir / file, f"dataset.{name}"), spec) if file else []
        for name, file in files.items()
    }


def split(items: Sequence[Item], shares: Split, seed: int, stratify: str | None = None) -> dict[str, list[Item]]:
    """Split items by shares, whatever their order; those with the same inputs stay together.

    With `stratify`, the items of each value of that field are split by the same shares.
    """
    strata: dict[str, dict[str, list[Item]]] = defaultdict(dict)
    stratum_of: dict[str, str] = {}
    for item in sorted(items, key=lambda one: one.example_id):
        stratum = stratum_of.setdefault(item.group, str(item.fields.get(stratify)) if stratify else "")
        strata[stratum].setdefault(item.group, []).append(item)
    splits: dict[str, list[Item]] = {name: [] for name in SPLITS}
    carry = dict.fromkeys(SPLITS, 0.0)
    for stratum, groups in sorted(strata.items()):
        ids = sorted(groups)
        random.Random(f"{seed}:{stratum}").shuffle(ids)
        exact = {name: len(ids) * float(getattr(shares, name)) + carry[name] for name in SPLITS}
        counts = _round(exact, len(ids))
        carry = {name: exact[name] - counts[name] for name in SPLITS}
        left = iter(ids)
        for name in SPLITS:
            for _ in range(counts[name]):
                splits[name].extend(groups[next(left)])
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
        name = max((one for one in counts if counts[one] > 0), key=lambda one: counts[one] - exact[one])
        counts[name] -= 1
    while sum(counts.values()) < total:
        counts[order[0]] += 1
    return counts


def _check_sealed(splits: Mapping[str, list[Item]]) -> None:
    """The same inputs in two splits would give the test away."""
    seen: dict[str, tuple[str, str]] = {}
    for name in SPLITS:
        for item in splits[name]:
            other, place = seen.setdefault(item.group, (name, item.place))
            if other != name:
                raise ConfigError(
                    f"the same inputs are in {other} ({place}) and in {name} ({item.place}); remove one", key="dataset"
                )


def _distinct(items: Sequence[Item]) -> list[Item]:
    """The same items; a repeated one gets a number behind its id."""
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
