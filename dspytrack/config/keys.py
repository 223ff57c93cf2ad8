"""Dotted keys such as `lm.options.stop.0`: the path of a setting, from text and back, and nested data by them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Loc = tuple[str | int, ...]
"""The path to a setting: keys, and numbers for the entries of a list."""


def dotted(loc: Loc) -> str:
    """A path as text: `("lm", "options", "stop", 0)` -> `lm.options.stop.0`."""
    return ".".join(str(part) for part in loc)


def loc_of(key: str) -> Loc:
    """The path that a dotted key names; digits are the number of a list's entry."""
    return tuple(int(part) if part.isdigit() else part for part in key.split("."))


def flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Nested data as pairs of dotted key and value.

    Mappings and lists of mappings are opened; a list of anything else and an empty mapping are values.
    """
    inner: Mapping[Any, Any] = {}
    if isinstance(value, Mapping):
        inner = value
    elif isinstance(value, list) and value and isinstance(value[0], Mapping):
        inner = dict(enumerate(value))
    if inner:
        for name, one in inner.items():
            yield from flat(one, f"{key}.{name}" if key else str(name))
    elif key:
        yield key, value
