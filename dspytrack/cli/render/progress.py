"""The live view of a run on a terminal; a line for each phase where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
)
from rich.table import Column
from rich.text import Text

from dspytrack.results.catalogue import usd
from dspytrack.runs.events import CandidateScored, Event, Note, PhaseStarted, RowScored, Started

if TYPE_CHECKING:
    from dspytrack.record.store import Record
    from dspytrack.results.values import Candidate
    from dspytrack.runs.plan import Plan


class _Clock(ProgressColumn):
    """Elapsed time, and what is left where that can be known."""

    def render(self, task: Task) -> Text:
        """ "0:41 +0:12"."""
        elapsed = _clock(task.finished_time if task.finished else task.elapsed)
        left = "" if task.finished or task.time_remaining is None else f" +{_clock(task.time_remaining)}"
        return Text(elapsed + left)


def _clock(seconds: float | None) -> str:
    whole = int(seconds or 0)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


class LiveView:
    """A listener that draws phase, examples done, best validation score, calls, tokens, cost and time."""

    def __init__(self, console: Console, bars: Progress) -> None:
        self._console, self._bars = console, bars
        self._plan: Plan | None = None
        self._task: TaskID | None = None
        self._best: float | None = None
        self._searching = False

    def __call__(self, event: Event) -> None:
        """Draw one event."""
        match event:
            case Started(record, plan):
                self._start(record, plan)
            case PhaseStarted(name, examples):
                self._begin_phase(name, examples)
            case RowScored():
                self._update(advance=1)
            case CandidateScored(candidate):
                self._show_candidate(candidate)
            case Note(message):
                self._console.print(f"note: {message}", markup=False, highlight=False, soft_wrap=True)
            case _:
                pass

    def _start(self, record: Record, plan: Plan) -> None:
        """Say where the run is kept."""
        self._plan = plan
        sizes = ", ".join(f"{len(getattr(plan.splits, name))} {name}" for name in ("train", "val", "test"))
        self._console.print(f"record {record.folder} · {sizes}", highlight=False, markup=False)

    def _begin_phase(self, name: str, examples: int | None) -> None:
        """Begin a bar."""
        if self._task is not None:
            self._bars.update(self._task, details=self._details(), total=self._bars.tasks[-1].completed)
            self._bars.stop_task(self._task)
        if not self._console.is_terminal:
            self._console.print(f"{name}{f': {examples} examples' if examples else ''}")
        self._searching = examples is None
        self._task = self._bars.add_task(name, total=examples, details="")

    def _show_candidate(self, candidate: Candidate) -> None:
        """One candidate scored."""
        if candidate.whole:
            self._best = candidate.score if self._best is None else max(self._best, candidate.score)
        if not self._console.is_terminal:
            best = f"best {self._best:.1%}" if candidate.whole else f"on {candidate.examples} examples"
            self._console.print(f"candidate {candidate.step}: {candidate.score:.1%} ({best})")
        self._update(advance=1)

    def _update(self, advance: int) -> None:
        if self._task is not None:
            self._bars.update(self._task, advance=advance, details=self._details())

    def _details(self) -> str:
        if self._plan is None:
            return ""
        used = self._plan.meter.total
        best = f"best {self._best:.1%} · " if self._searching and self._best is not None else ""
        failed = f" · {used.failed} failed" if used.failed else ""
        return f"{best}{used.calls:,} calls{failed} · {_thousands(used.tokens)} tokens · {usd(used.cost_usd)}"


def _thousands(count: int) -> str:
    return str(count) if count < 10_000 else f"{count / 1000:.0f}k" if count < 10_000_000 else f"{count / 1e6:.1f}M"


@contextmanager
def watching(stream: TextIO) -> Iterator[LiveView]:
    """A live view on a stream for as long as the block lasts."""
    console = Console(file=stream)
    bars = Progress(
        SpinnerColumn(),
        TextColumn("{task.description:<12}"),
        BarColumn(bar_width=10),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[details]}", table_column=Column(no_wrap=True)),
        _Clock(table_column=Column(no_wrap=True)),
        console=console,
        disable=not console.is_terminal,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with bars:
        yield LiveView(console, bars)
