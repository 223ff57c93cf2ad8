"""What a metric gives: a score and, where it says, why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

MetricFunction = Callable[..., Any]


class Score(NamedTuple):
    """A score and, where the metric says, why."""

    value: float
    feedback: str | None = None
