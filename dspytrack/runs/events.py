"""What happens in a run, as values: the record, MLflow, the report and the terminal listen to the same ones.

A listener is called from one thread at a time, in the order in which the listeners were given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dspytrack.results.values import Candidate, OptimizationResult, Row

if TYPE_CHECKING:
    from dspytrack.record.store import Record
    from dspytrack.runs.plan import Plan

Side = Literal["baseline", "optimized"]
PhaseName = Literal["baseline", "optimization", "optimized"]


@dataclass(frozen=True)
class Started:
    """An attempt begins: its record is there, and it holds the lock."""

    record: Record
    plan: Plan


@dataclass(frozen=True)
class PhaseStarted:
    """A phase begins, with the number of its examples where that is known."""

    name: PhaseName
    examples: int | None


@dataclass(frozen=True)
class RowScored:
    """A test example is scored; `is_new` is False for one that an earlier attempt scored."""

    side: Side
    row: Row
    is_new: bool = True


@dataclass(frozen=True)
class CandidateScored:
    """An optimizer has scored a candidate program."""

    candidate: Candidate


@dataclass(frozen=True)
class PhaseEnded:
    """A phase is over, however it ended; `seconds` is the run's wall time so far, earlier attempts included."""

    name: PhaseName
    seconds: float


@dataclass(frozen=True)
class Note:
    """Something that the user should read."""

    message: str


@dataclass(frozen=True)
class Finished:
    """The attempt is over. `seconds` is the wall time of all attempts."""

    result: OptimizationResult
    seconds: float


Event = Started | PhaseStarted | RowScored | CandidateScored | PhaseEnded | Note | Finished
Listener = Callable[[Event], None]
