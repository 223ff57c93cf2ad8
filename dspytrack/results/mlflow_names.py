"""Names of tags and params as MLflow accepts them, known without importing MLflow."""

from __future__ import annotations

import re
from collections.abc import Iterable

LONGEST_NAME = 250
LONGEST_TAG = 5000
_FOREIGN = re.compile(r"[^\w\-. /:]")


def storable(key: str) -> str:
    """The name under which MLflow accepts a key: no other characters than it allows, and a normalized path."""
    parts = [part for part in _FOREIGN.sub("_", key).split("/") if part not in ("", ".")]
    name = "/".join("__" if part == ".." else part for part in parts)[:LONGEST_NAME].rstrip("/")
    return re.sub(r"^\.\.", "__", name) or "_"


def names_of(keys: Iterable[str]) -> dict[str, str]:
    """A distinct name for each key; a key that MLflow accepts as it is keeps its own."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for key in sorted(keys, key=lambda one: storable(one) != one):
        name = first = storable(key)
        count = 1
        while name in taken:
            count += 1
            name = f"{first[: LONGEST_NAME - len(str(count)) - 1]}_{count}"
        taken.add(name)
        found[key] = name
    return found


def fault_of_tag(key: str, value: str) -> str | None:
    """What is wrong with a user's tag, in words; None if MLflow stores it as it is."""
    if key.startswith("mlflow."):
        return f"`{key}`: tags that begin with `mlflow.` are MLflow's own; give it another name"
    if storable(key) != key:
        return f"`{key}`: MLflow cannot store a tag of that name; `{storable(key)}` would do"
    if len(value) > LONGEST_TAG:
        return f"`{key}`: a tag holds {LONGEST_TAG} characters at most, this one has {len(value)}"
    return None
