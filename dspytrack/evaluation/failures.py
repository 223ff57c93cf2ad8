"""Rows that failed, in words and in numbers: how many there are, of what, and the worst that they may stand for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from dspytrack.results.values import Row

LONGEST = 300  # characters of an error that a reason holds


def unusable(rows: Sequence[Row]) -> int:
    """Examples that were answered, and the program made no output of it."""
    return sum(row.failure == "program" for row in rows)


def as_worst(rows: Sequence[Row], worst: float) -> list[Row]:
    """The same rows, those without a usable answer scored with the worst score there is."""
    return [row.model_copy(update={"score": worst}) if row.failure == "program" else row for row in rows]


def counted(baseline: Sequence[Row], optimized: Sequence[Row]) -> str:
    """How many failed on each side, as the end of a sentence; "" where none did."""
    failed = [sum(row.error is not None for row in side) for side in (baseline, optimized)]
    if not any(failed):
        return ""
    after = f"{failed[1]} of the optimized program" if optimized else "the optimized program was not measured"
    return f"; failed: {failed[0]} of the baseline, {after}"


def commonest(rows: Sequence[Row]) -> str:
    """The most common kind of error with its count, and the first of them (one line); "" where there is none."""
    errors = [row.error for row in rows if row.error is not None]
    if not errors:
        return ""
    [(kind, count)] = Counter(_kind(error) for error in errors).most_common(1)
    first = next(error for error in errors if _kind(error) == kind)
    return f"{count} of them with {kind}, the first: {_one_line(first)}"


def _kind(error: str) -> str:
    """The name of an exception, `metric: ` before it where a metric raised it."""
    prefix = "metric: " if error.startswith("metric: ") else ""
    return prefix + error.removeprefix(prefix).split(":")[0].strip()


def _one_line(error: str) -> str:
    line = " ".join(error.split())
    return line if len(line) <= LONGEST else line[:LONGEST] + " …"
