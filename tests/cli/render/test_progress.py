"""The live view of a run: a line for each phase in a log, bars that say how far it is on a terminal."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from dspytrack.cli.render.progress import watching
from dspytrack.lm.metering.usage import Bill
from dspytrack.record.store import Record
from dspytrack.results.values import Candidate, Row
from dspytrack.runs.events import CandidateScored, Event, Note, PhaseEnded, PhaseStarted, RowScored, Started
from dspytrack.runs.plan import Plan, make_plan
from tests.support.requests import request, rows

BASELINE, SEARCH = PhaseStarted("baseline", 2), PhaseStarted("optimization", None)
ROW = RowScored("baseline", Row(example_id="1", score=1.0))


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """It is one."""
        return True


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """Of a small run, on a wide terminal."""
    for name, value in {"OPENAI_API_KEY": "a-key", "TERM": "xterm", "COLUMNS": "200"}.items():
        monkeypatch.setenv(name, value)
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    return make_plan(request("http://127.0.0.1:9/v1", tmp_path), rows(20))


def candidate(step: int, score: float, whole: bool = True) -> CandidateScored:
    """A candidate, on four examples."""
    return CandidateScored(Candidate(step=step, optimizer="gepa", score=score, examples=4, whole=whole))


def shown(stream: io.StringIO, *events: Event) -> list[str]:
    """The lines that a stream shows after some events; of a terminal, the last picture of its bars."""
    with watching(stream) as view:
        for event in events:
            view(event)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue().rsplit("\x1b[2K", 1)[-1])
    return [" ".join(line.split()) for line in text.replace("\r", "\n").splitlines() if line.strip()]


def test_without_a_terminal_each_phase_candidate_and_note_is_a_line(plan: Plan, tmp_path: Path) -> None:
    record = Record.create(tmp_path)
    lines = shown(
        io.StringIO(),
        Started(record, plan),
        BASELINE,
        ROW,
        PhaseEnded("baseline", 1.0),
        SEARCH,
        candidate(1, 0.5),
        candidate(2, 0.9, whole=False),
        candidate(3, 0.25),
        candidate(4, 0.75),
        Note("[read] this"),
        PhaseStarted("optimized", 2),
    )
    sizes = [f"{len(getattr(plan.splits, name))} {name}" for name in ("train", "val", "test")]
    assert lines == [
        f"record {record.folder} · {', '.join(sizes)}",
        "baseline: 2 examples",
        "optimization",
        "candidate 1: 50.0% (best 50.0%)",
        "candidate 2: 90.0% (on 4 examples)",
        "candidate 3: 25.0% (best 50.0%)",
        "candidate 4: 75.0% (best 75.0%)",
        "note: [read] this",
        "optimized: 2 examples",
    ]


def test_on_a_terminal_each_phase_is_a_bar_with_its_examples_and_what_was_used(plan: Plan, tmp_path: Path) -> None:
    plan.meter.admit("task")
    plan.meter.billed(Bill("task", 1000, 234, 0.25))
    lines = shown(Terminal(), Started(Record.create(tmp_path), plan), BASELINE, ROW, ROW, SEARCH, candidate(1, 0.5))
    baseline, search = (next(line for line in lines if name in line) for name in ("baseline", "optimization"))
    assert "2/2" in baseline and "1 calls · 1234 tokens · $0.250" in baseline and "best" not in baseline
    assert "1/?" in search and "best 50.0% · 1 calls · 1234 tokens · $0.250" in search
    assert "failed" not in search


def test_the_best_validation_score_stands_in_the_bar_of_the_search_alone(plan: Plan, tmp_path: Path) -> None:
    events = [Started(Record.create(tmp_path), plan), SEARCH, candidate(1, 0.75), candidate(2, 0.5)]
    [search] = [line for line in shown(Terminal(), *events, candidate(3, 0.9, whole=False)) if "optimization" in line]
    assert "3/?" in search and "best 75.0%" in search
    lines = shown(Terminal(), *events, PhaseStarted("optimized", 2), ROW)
    search, optimized = (next(line for line in lines if name in line) for name in ("optimization", "optimized"))
    assert "2/2" in search and "best 75.0%" in search
    assert "1/2" in optimized and "best" not in optimized


@pytest.mark.parametrize(
    ("tokens", "said"),
    [(9_999, "9999"), (10_000, "10k"), (9_999_000, "9999k"), (10_000_000, "10.0M"), (12_340_000, "12.3M")],
)
def test_many_tokens_are_shown_short(tokens: int, said: str, plan: Plan, tmp_path: Path) -> None:
    plan.meter.admit("task")
    plan.meter.billed(Bill("task", tokens, 0, 0.0))
    [line] = [one for one in shown(Terminal(), Started(Record.create(tmp_path), plan), BASELINE, ROW) if "/2" in one]
    assert f" · {said} tokens · " in line


def test_failed_calls_are_shown_where_there_are_any(plan: Plan, tmp_path: Path) -> None:
    for _ in range(3):
        plan.meter.failed("task", ConnectionError("refused"), fatal=False)
    [line] = [one for one in shown(Terminal(), Started(Record.create(tmp_path), plan), BASELINE, ROW) if "/2" in one]
    assert "0 calls · 3 failed · 0 tokens" in line
