"""How far a run goes over each cap, at 1, 8 and 32 threads: in the cap's unit and in LM calls.

The LM server keeps the books: what it answered, when, and what that cost by the price in the request. A call lies
over the cap where it is among the last answered ones that must be taken away to come back to the cap.
"""

from __future__ import annotations

import os
import statistics
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench.report import Section
from tests.bench.workload import LM, examples, workload
from tests.support.lm_server import classify, lm_server

if TYPE_CHECKING:
    from dspytrack.record.info import RunInfo
    from dspytrack.results.values import OptimizationResult

EXAMPLES = 200
TEST = 80  # of them in the test split: the calls of the baseline
DELAY = 0.02  # seconds the LM takes
SLOW = {"baseline": 0.05, "search": 0.02}  # and for each thread, where the cap is on time
THREADS = (1, 8, 32)
PRICE = {"input_per_million": 1000.0, "output_per_million": 4000.0}
UNITS = {"max_lm_calls": "calls", "max_tokens": "tokens", "max_cost_usd": "USD", "max_optimization_time": "s"}
# The cap by where it is met, in calls' worth (seconds for the time), with more examples left than threads, so that a
# cap that does not hold would show. A cap on calls that would stop the baseline is refused.
LIMITS = {
    "baseline": {"max_tokens": 20.5, "max_cost_usd": 20.5, "max_optimization_time": 2.0},
    "search": {"max_lm_calls": 200.0, "max_tokens": 280.5, "max_cost_usd": 280.5, "max_optimization_time": 5.0},
}


@dataclass(frozen=True)
class Answer:
    """One response of the server: when (seconds since 1970), and its share of each cap but the time."""

    at: float
    max_tokens: float
    max_cost_usd: float
    max_lm_calls: float = 1.0


@dataclass
class Book:
    """Answers as `classify` does, and writes each answer down."""

    answers: list[Answer] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)  # protects the order of the list

    def __call__(self, body: dict[str, Any]) -> str:
        """Answer a request."""
        text = classify(body)
        asked = sum(len(str(one["content"]).split()) for one in body["messages"])  # as the server counts tokens
        out = len(text.split())
        cost = (asked * PRICE["input_per_million"] + out * PRICE["output_per_million"]) / 1e6
        with self.lock:
            self.answers.append(Answer(time.time(), asked + out, cost))
        return text

    def mean(self, cap: str, calls: int) -> float:
        """What one of the first so many calls came to, in the unit of a cap."""
        return statistics.fmean(getattr(one, cap) for one in self.answers[:calls])

    def used(self, cap: str) -> float:
        """What all calls came to."""
        return float(sum(getattr(one, cap) for one in self.answers))

    def over(self, cap: str, limit: float) -> int:
        """How many of the last answers lie over a limit."""
        left, over = self.used(cap), 0
        while left > limit * (1 + 1e-9):
            over += 1
            left -= getattr(self.answers[-over], cap)
        return over


@dataclass(frozen=True)
class Capped:
    """A run that met a cap."""

    cap: str
    place: str
    threads: int
    limit: float
    used: float
    calls: int
    calls_over: int
    calls_counted: int
    calls_failed: int
    reason: str

    @property
    def over(self) -> float:
        """By how much the cap was overshot, in its unit."""
        return max(0.0, self.used - self.limit)

    def cells(self) -> tuple[str, ...]:
        """A row of the table."""
        return (
            f"`{self.cap}`",
            self.place,
            str(self.threads),
            f"{self.limit:.6g} {UNITS[self.cap]}",
            f"{self.used:.6g}",
            f"{self.over:.4g}",
            str(self.calls),
            f"{self.calls_counted} + {self.calls_failed}",
            str(self.calls_over),
            "no" if self.violations() else "yes",
        )

    @property
    def name(self) -> str:
        """The run in a few words."""
        return f"{self.cap}, met in the {self.place}, threads: {self.threads}"

    def violations(self) -> list[str]:
        """What must not be."""
        found = []
        if self.cap not in self.reason:
            found.append(f"{self.name}: the cap was not met: {self.reason}")
        allowed = self.threads if self.cap == "max_optimization_time" else 1
        if self.calls_over > allowed:
            found.append(f"{self.name}: {self.calls_over} calls over, {allowed} at most")
        if not self.calls_counted <= self.calls <= self.calls_counted + self.calls_failed:
            counted = f"{self.calls_counted} counted, {self.calls_failed} failed"
            found.append(f"{self.name}: {self.calls} calls billed, {counted}")
        return found


def run_once(folder: Path, api_base: str, threads: int, **changes: Any) -> tuple[OptimizationResult, RunInfo]:
    """The result of an untracked run in this process, and its run.json."""
    from dspytrack.pipeline import OptimizationPipeline
    from dspytrack.record.store import Record

    lm = LM | {"api_base": api_base, "price": PRICE}
    request = workload(folder, api_base, lm=lm, evaluation={"num_threads": threads}, **changes)
    result = OptimizationPipeline(enable_tracking=False, runs_dir=folder).run(request, training_data=examples(EXAMPLES))
    return result, Record(Path(result.record)).info


def capped(folder: Path, cap: str, place: str, threads: int, limit: float) -> Capped:
    """Run until the cap; the more threads, the slower the LM where time is the cap, so that it is met in mid-work."""
    timed = cap == "max_optimization_time"
    delay = threads * SLOW[place] if timed else DELAY
    book = Book()
    with lm_server(book, delay) as server:
        result, info = run_once(folder, server.api_base, threads, constraints={cap: limit})
        server.settled()  # what was left in flight is billed all the same
    ends = (info.ended_at or 0.0) - info.seconds + limit
    return Capped(
        cap,
        place,
        threads,
        limit,
        used=result.duration_seconds if timed else book.used(cap),
        calls=len(book.answers),
        calls_over=sum(one.at > ends for one in book.answers) if timed else book.over(cap, limit),
        calls_counted=sum(use.calls for use in result.usage.values()),
        calls_failed=sum(use.failed_calls for use in result.usage.values()),
        reason=result.reason,
    )


def run(folder: Path) -> Section:
    """Measure every cap at every number of threads."""
    os.environ["OPENAI_API_KEY"] = "a-key-for-loopback"
    few_shot = {"name": "labeled_few_shot", "params": {"k": 4}}
    with lm_server(Book()) as server:  # loads every module; what a call takes
        run_once(folder / "probe", server.api_base, 8, optimizer=few_shot)
        calls = server.answer
    assert isinstance(calls, Book)
    found = []
    for place, limits in LIMITS.items():
        for cap, worth in limits.items():
            limit = worth if cap == "max_optimization_time" else worth * calls.mean(cap, TEST)
            limit = limit if cap in ("max_cost_usd", "max_optimization_time") else round(limit)
            for threads in THREADS:
                found.append(capped(folder / f"{cap}-{place}-{threads}", cap, place, threads, limit))
                print(f"  {found[-1].name}: {found[-1].calls_over} calls over", file=sys.stderr)
    return _section(found)


def _section(found: list[Capped]) -> Section:
    section = Section("Caps: how far a run goes over them")
    section.say(
        f"Random search over {EXAMPLES} examples ({TEST} of them tested) against an LM over HTTP that takes "
        f"{DELAY:g} s (for the time cap {SLOW['baseline']:g} or {SLOW['search']:g} s × threads), stopped by a cap in "
        "the baseline or in the search. A cap met in the search leaves the final evaluation what is set aside for it "
        "(tokens, cost and time twice over), so the whole run then stays below. Tokens and cost are those that the "
        "LM server billed, the seconds those of the whole run with its closing, calls over are the answers beyond "
        "the cap: none on calls, one at most on tokens and cost (a call in flight counts as the dearest of its role's "
        "last 16), and the calls in flight on time. What was billed must be what dspytrack counted (a call that failed "
        "may or may not have been billed). A cap on calls too small for the two "
        "evaluations is refused before anything is spent.",
    )
    section.table(
        (
            "cap",
            "met in",
            "threads",
            "limit",
            "used",
            "over",
            "calls billed",
            "counted + failed",
            "calls over",
            "holds",
        ),
        [one.cells() for one in found],
    )
    section.violations = [violation for one in found for violation in one.violations()]
    return section
