"""One attempt at a run, top to bottom: measure the baseline, search, measure what was found, compare.

What an earlier attempt measured is not measured again. Everything that happens is an event; who listens, the record
included, is the caller's choice.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import dspy

from dspytrack.errors import RunStop, UnreachableError
from dspytrack.evaluation.evaluate import evaluate
from dspytrack.evaluation.failures import commonest
from dspytrack.lm.metering.cache import ResponseCache
from dspytrack.lm.metering.dspy_hooks import metering, warm_up
from dspytrack.record.info import BaselineUse
from dspytrack.record.recover import keep_only_rows_of
from dspytrack.record.store import Record
from dspytrack.results.values import Candidate, OptimizationResult, Row
from dspytrack.runs import notes
from dspytrack.runs.artifacts import key_improvements, write_evaluation, write_model
from dspytrack.runs.console_log import logged
from dspytrack.runs.events import (
    CandidateScored,
    Event,
    Finished,
    Listener,
    Note,
    PhaseEnded,
    PhaseName,
    PhaseStarted,
    RowScored,
    Side,
    Started,
)
from dspytrack.runs.interrupt import in_thread, interruptible
from dspytrack.runs.outcome import Measured, compared, result_of
from dspytrack.runs.plan import Plan
from dspytrack.runs.search import Found, search

SEEN_CALLS = 16  # task calls whose mean says what a candidate takes


def execute(
    plan: Plan, record: Record, listeners: Sequence[Listener], stated: Mapping[str, float]
) -> OptimizationResult:
    """Make one attempt at a run.

    Args:
        plan: what to run.
        record: where it is kept.
        listeners: called with each event, in this order; one of them has to write it to the record.
        stated: baseline metrics that the caller states; a note says where they differ from what is measured.

    Returns:
        The result, as written to the record.

    Raises:
        UsageError: where another process is at work on the record.
        UnreachableError: where the disk is full.
        Exception: what is no end of a run that is foreseen; the record then holds what is known.
    """
    with record.locked(), interruptible(plan.meter), _disk_space(record):
        return _Attempt(plan, record, listeners).run(stated)


class _Attempt:
    """A plan at work on its record."""

    def __init__(self, plan: Plan, record: Record, listeners: Sequence[Listener]) -> None:
        self._plan, self._record, self._listeners = plan, record, listeners
        self._one_event = threading.Lock()  # so that a listener is called from one thread at a time

    def run(self, stated: Mapping[str, float]) -> OptimizationResult:
        """From the first event to the last."""
        seconds = self._record.begin_attempt()
        self._record.repair()
        self._tell(Started(self._record, self._plan))
        self._note(*self._plan.warnings, *notes.without_effect(self._plan.request))
        measured: Measured | None = None
        try:
            with metering(self._record.responses, self._plan.meter) as cache:
                self._continue_counts(cache, seconds)
                measured = self._measured()
                write_model(self._record, self._plan, measured.found, measured.comparison)
        except RunStop as stop:
            return self._finished(measured, stop, stated)
        except Exception as error:
            result = self._finished(measured, error, stated)
            self._note(notes.kept_after_error(self._record, result))
            raise
        return self._finished(measured, None, stated)

    def _continue_counts(self, cache: ResponseCache, seconds: float) -> None:
        self._plan.meter.begin_attempt(cache.billed, seconds)
        if cache.damaged:
            where = f"{self._record.responses}: {cache.damaged} lines cannot be read"
            self._note(f"{where}; the requests that they answered are sent again")

    def _measured(self) -> Measured:
        """Both programs on the same test examples.

        Raises:
            RunStop: where the run was interrupted or its LM cannot be reached, a cap cut the baseline short, or no
                example of it was scored.
        """
        plan = self._plan
        for lm in (plan.lms["task"], *(one.lm for one in plan.program.predictors())):
            if lm is not None:
                warm_up(lm)
        baseline, stopped = self._measure("baseline", plan.program)
        if stopped is not None:
            raise stopped
        self._check_answered(baseline)
        found, optimized = Found(plan.program, None), list[Row]()
        if _failed_share(baseline) <= plan.request.evaluation.max_error_rate:  # else a search would learn from failures
            self._set_aside()
            found = self._search()
            plan.meter.release()
            keep_only_rows_of(self._record, found.program)
            optimized, stopped = self._measure("optimized", found.program)
        write_evaluation(self._record, plan, baseline, optimized)
        changes = key_improvements(plan.program, found.program, baseline, optimized)
        return Measured(found, compared(plan, baseline, optimized), changes, found.stopped or stopped)

    def _measure(self, side: Side, program: dspy.Module) -> tuple[list[Row], RunStop | None]:
        """Rows of the test examples, those of an earlier attempt included; the stop where a cap cut it short."""
        plan, stopped = self._plan, None
        done = {row.example_id: row for row in self._record.rows(side)}
        with self._phase(side, len(plan.splits.test)) as is_over:
            for row in done.values():
                self._tell(RowScored(side, row, is_new=False))

            def keep(row: Row) -> None:
                if not is_over.is_set():  # else of work that was abandoned: its calls are kept, the rows are measured
                    done[row.example_id] = row
                    self._tell(RowScored(side, row))

            try:
                with logged(self._record.log_file):
                    in_thread(self._evaluation(side, program, set(done), keep), plan.meter)
                if plan.meter.stopped is not None:  # the last calls may be those that ended it
                    raise plan.meter.stopped
            except RunStop as stop:
                if stop.reason != "budget":
                    raise
                stopped = stop
        return [done[item.example_id] for item in plan.splits.test if item.example_id in done], stopped

    def _evaluation(
        self, side: Side, program: dspy.Module, done: set[str], keep: Callable[[Row], None]
    ) -> Callable[[], object]:
        plan, request = self._plan, self._plan.request

        def work() -> None:
            with dspy.context(lm=plan.lms["task"], adapter=plan.adapter):
                evaluate(
                    program,
                    [item for item in plan.splits.test if item.example_id not in done],
                    request.dataset.inputs,
                    plan.metric,
                    num_threads=request.evaluation.num_threads,
                    repeats=request.evaluation.repeats,
                    namespace=side,
                    on_row=keep,
                )

        return work

    def _check_answered(self, baseline: Sequence[Row]) -> None:
        """A run none of whose calls is answered has no LM, and one with nothing scored has nothing to compare with.

        Raises:
            RunStop: where every LM call failed, or no example was scored, however few there are.
        """
        used = self._plan.meter.total
        if used.failed and not used.calls and not used.cached:
            raise RunStop("unreachable", f"no LM call of the baseline was answered, the last: {baseline[-1].error}")
        if all(row.score is None for row in baseline):
            reason = "unreachable" if all(row.failure == "call" for row in baseline) else "unusable"
            raise RunStop(reason, f"all {len(baseline)} examples of the baseline failed, {commonest(baseline)}")

    def _set_aside(self) -> None:
        """Keep for the final evaluation what it will need, going by the baseline; on resume, by what that took then."""
        plan = self._plan
        took = self._record.info.baseline_took
        if took is None:
            took = BaselineUse(seconds=plan.meter.seconds, usage=plan.meter.by_role)
            self._record.update_info(baseline_took=took)
        window = min(SEEN_CALLS, *(one.candidate_examples for one in plan.optimizers))
        plan.meter.set_aside(took.usage, took.seconds, window)

    def _search(self) -> Found:
        with self._phase("optimization", None) as is_over:

            def keep(candidate: Candidate) -> None:
                if not is_over.is_set():
                    self._tell(CandidateScored(candidate))

            found = search(self._plan, self._record.log_file, keep)
        if found.stopped is not None:
            best = "the best program so far" if found.optimizer else "no candidate was scored before: the baseline"
            self._note(f"{found.stopped}; {best} is tested now")
        if found.remark:
            self._note(found.remark)
        return found

    def _finished(
        self, measured: Measured | None, ended_by: RunStop | Exception | None, stated: Mapping[str, float]
    ) -> OptimizationResult:
        result = result_of(self._plan, self._record, measured, ended_by)
        self._note(*notes.unbilled_calls(self._plan.meter), *notes.differing_baseline(stated, result.comparison))
        self._tell(Finished(result, self._plan.meter.seconds))
        return result

    @contextmanager
    def _phase(self, name: PhaseName, examples: int | None) -> Iterator[threading.Event]:
        """A phase from its first event to its last; the event that is yielded is set once it is over."""
        is_over = threading.Event()
        self._tell(PhaseStarted(name, examples))
        try:
            yield is_over
        finally:
            is_over.set()
            self._tell(PhaseEnded(name, self._plan.meter.seconds))

    def _note(self, *messages: str) -> None:
        for message in messages:
            self._tell(Note(message))

    def _tell(self, event: Event) -> None:
        with self._one_event:
            for listener in self._listeners:
                listener(event)


@contextmanager
def _disk_space(record: Record) -> Iterator[None]:
    """A full disk is something outside: what was written is whole, and the run can be resumed."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        then = (
            f"optimize CONFIG --resume --run {record.run_id}" if record.result is None else f"runs show {record.run_id}"
        )
        raise UnreachableError(
            f"{record.folder}: {error.strerror}; free some space and run: dspytrack {then}"
        ) from error


def _failed_share(rows: Sequence[Row]) -> float:
    return sum(row.error is not None for row in rows) / len(rows)
