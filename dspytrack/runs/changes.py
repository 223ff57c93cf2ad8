"""What a request says now and what a run was started with: which differences alter its answers, and which do not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

_FREE = re.compile(
    r"(tracking|constraints)\..+"
    r"|evaluation\.(num_threads|max_consecutive_failures)"
    r"|((teacher_|prompt_|reflection_)?lm|metric\.lm)\.(timeout|num_retries)"
)
CAPS = ("max_cost_usd", "max_lm_calls", "max_tokens", "max_optimization_time")


class Change(NamedTuple):
    """A key of the request, as it was and as it is; None where it was not or is not set."""

    key: str
    was: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.key} was {_shown(self.was)}, is {_shown(self.now)}"

    @property
    def is_free(self) -> bool:
        """Whether no answer depends on it: how fast, where to, how long tried, up to which cap."""
        return _FREE.fullmatch(self.key) is not None


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """The keys that two resolved requests differ in."""
    old, new = dict(_flat(before)), dict(_flat(after))
    keys = sorted(old.keys() | new.keys())
    return [Change(key, old.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key)]


def raises_a_cap(changed: list[Change]) -> bool:
    """Whether there is a cap that leaves more room than it did, or is gone."""
    caps = [one for one in changed if one.key in {f"constraints.{name}" for name in CAPS}]
    return any(one.was is not None and (one.now is None or one.now > one.was) for one in caps)


def _shown(value: Any) -> str:
    return "not set" if value is None else repr(value)


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested data as dotted keys; a mapping without entries is nothing."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value
