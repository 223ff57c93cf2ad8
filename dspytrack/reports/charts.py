"""The coordinates of the report's charts, in the units of their SVG."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from dspytrack.results.catalogue import format_value
from dspytrack.results.values import Candidate, Comparison

WIDTH, HEIGHT, MARGIN = 640.0, 180.0, 34.0


class Dot(NamedTuple):
    """A candidate: its coordinates, its label, and whether it was scored on all validation examples."""

    x: float
    y: float
    label: str
    whole: bool


class CandidateChart(NamedTuple):
    """Candidates by step, the best whole score so far as a line, and the grid: (y, its label)."""

    dots: list[Dot]
    best: str
    grid: list[tuple[float, str]]


class IntervalChart(NamedTuple):
    """The interval of the score difference on a scale that shows 0: x of its ends, its middle and 0."""

    low: float
    high: float
    middle: float
    zero: float


def candidate_chart(candidates: Sequence[Candidate]) -> CandidateChart | None:
    """The coordinates of the candidates; None where fewer than two were scored, which make no line."""
    if len(candidates) < 2:
        return None
    scores = [one.score for one in candidates]
    low, high = min(0.0, *scores), max(1.0, *scores)
    steps = len(candidates) - 1

    def y(score: float) -> float:
        return round(HEIGHT - MARGIN - (score - low) / (high - low) * (HEIGHT - 2 * MARGIN), 1)

    dots: list[Dot] = []
    line: list[str] = []
    best: float | None = None
    for index, one in enumerate(candidates):
        x = round(MARGIN * 1.5 + index / steps * (WIDTH - 2.5 * MARGIN), 1)
        score = format_value("validation_score", one.score)
        some = "" if one.whole else f" on {one.examples} examples"
        dots.append(Dot(x, y(one.score), f"candidate {one.step} of {one.optimizer}: {score}{some}", one.whole))
        if one.whole and (best is None or one.score > best):
            line += [] if best is None else [f"{x},{y(best)}"]
            best = one.score
        if best is not None:
            line.append(f"{x},{y(best)}")
    grid = [(y(value), f"{value:.0%}") for value in (low, (low + high) / 2, high)]
    return CandidateChart(dots, " ".join(line), grid)


def interval_chart(c: Comparison) -> IntervalChart | None:
    """The coordinates of the interval; None where there is no interval."""
    if c.interval_low is None or c.interval_high is None or c.quality_improvement is None:
        return None
    reach = 1.1 * max(abs(c.interval_low), abs(c.interval_high)) or 1.0

    def x(value: float) -> float:
        return round(WIDTH / 2 + value / reach * (WIDTH / 2 - MARGIN), 1)

    return IntervalChart(x(c.interval_low), x(c.interval_high), x(c.quality_improvement), x(0.0))
