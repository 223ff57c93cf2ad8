"""What a run tells while it goes: the command line draws it, a library caller may listen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from dspytrack.results.values import Candidate, Row

if TYPE_CHECKING:
    from dspytrack.record.store import Record
    from dspytrack.runs.plan import Plan


class Progress(Protocol):
    """Told how a run goes."""

    def started(self, record: Record, plan: Plan) -> None:
        """The run exists."""

    def phase(self, name: str, total: int | None) -> None:
        """A phase begins, with the number of its examples where that is known."""

    def row(self, row: Row) -> None:
        """An example of a final evaluation is done."""

    def candidate(self, candidate: Candidate) -> None:
        """A candidate was scored."""

    def note(self, message: str) -> None:
        """Something the user should read."""


class Quiet:
    """A Progress that says nothing."""

    def started(self, record: Record, plan: Plan) -> None:
        """Nothing."""

    def phase(self, name: str, total: int | None) -> None:
        """Nothing."""

    def row(self, row: Row) -> None:
        """Nothing."""

    def candidate(self, candidate: Candidate) -> None:
        """Nothing."""

    def note(self, message: str) -> None:
        """Nothing."""
