"""What differs between the request a run was started with and the request now, and whether a run may be resumed so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from dspytrack.config.base import Mark
from dspytrack.config.keys import flat, loc_of
from dspytrack.config.locations import is_marked
from dspytrack.config.schema import Constraints

CAPS = tuple(name for name, field in Constraints.model_fields.items() if Mark.CAP in field.metadata)
"""The keys of `constraints` that are caps."""


class Change(NamedTuple):
    """A dotted key of the request with its value before and now; None where it is not set."""

    key: str
    was: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.key} was {_shown(self.was)}, is {_shown(self.now)}"

    @property
    def is_free(self) -> bool:
        """Whether a run may be resumed with it: no output of the run depends on it."""
        return is_marked(loc_of(self.key), Mark.MAY_CHANGE)


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """The keys in which two resolved requests differ."""
    old, new = _settings(before), _settings(after)
    keys = sorted(old.keys() | new.keys())
    return [Change(key, old.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key)]


def raises_a_cap(changed: list[Change]) -> bool:
    """Whether a cap was raised or removed."""
    caps = [one for one in changed if one.key in {f"constraints.{name}" for name in CAPS}]
    return any(one.was is not None and (one.now is None or one.now > one.was) for one in caps)


def _settings(request: Mapping[str, Any]) -> dict[str, Any]:
    """A request by dotted key; an empty mapping is no setting."""
    return {key: value for key, value in flat(request) if value != {}}


def _shown(value: Any) -> str:
    return "not set" if value is None else repr(value)
