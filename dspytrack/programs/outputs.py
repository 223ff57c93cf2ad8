"""A prediction as plain JSON data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic_core import to_jsonable_python

if TYPE_CHECKING:
    import dspy


def plain(prediction: dspy.Prediction) -> dict[str, Any]:
    """A prediction's fields as JSON data: models by field, dates as text, enums by value, NaN as null."""
    return {name: _finite(to_jsonable_python(value, fallback=_unknown)) for name, value in prediction.items()}


def _unknown(value: Any) -> Any:
    return value.toDict() if hasattr(value, "toDict") else str(value)


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity."""
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
