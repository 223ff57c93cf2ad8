"""One sitting of a run: measure, search, measure again. What an earlier sitting measured is not measured again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

import dspy

from dspytrack.errors import RunStop
from dspytrack.evaluation.evaluate import evaluate
from dspytrack.evaluation.failures import commonest
from dspytrack.lm.metering.dspy_hooks import warm_up
from dspytrack.record.info import BaselineUse
from dspytrack.record.recover import keep_only_rows_of
from dspytrack.record.store import Record
from dspytrack.results.values import Candidate, Row
from dspytrack.runs.console_log import logged
from dspytrack.runs.events import Progress
from dspytrack.runs.interrupt import in_thread
from dspytrack.runs.plan import Plan
from dspytrack.runs.search import Found, search

SEEN_CALLS = 16  # task calls whose mean says what a candidate takes


class Measured(NamedTuple):
    """Rows of both sides, the program between them, and why it ended early, if it did."""

    baseline: list[Row]
    optimized: list[Row]
    found: Found
    stopped: RunStop | None


class Sitting:
    """A plan at work on its record."""

    def __init__(self, plan: Plan, record: Record, progress: Progress) -> None:
        self._plan, self._record, self._progress = plan, record, progress

    def run(self) -> Measured:
        """Measure the baseline, search, measure what was found on the same examples.

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
        if _failed_share(baseline) > plan.request.evaluation.max_error_rate:
            return Measured(baseline, [], Found(plan.program, None), None)  # a search would learn from failures
        self._set_aside()
        found = self._search()
        plan.meter.release()
        keep_only_rows_of(self._record, found.program)
        optimized, stopped = self._measure("optimized", found.program)
        return Measured(baseline, optimized, found, found.stopped or stopped)

    def _measure(self, side: str, program: dspy.Module) -> tuple[list[Row], RunStop | None]:
        """Rows of the test examples, those of an earlier sitting included; the stop where a cap cut it short."""
        plan, record = self._plan, self._record
        done = {row.example_id: row for row in record.rows(side)}
        self._progress.phase(side, len(plan.splits.test))
        for row in done.values():
            self._progress.row(row)

        def keep(row: Row) -> None:
            if over.is_set():
                return  # of an evaluation that was left behind: its calls are kept, what is measured is told already
            done[row.example_id] = row
            record.append(f"rows/{side}.jsonl", row)
            self._progress.row(row)

        over, stopped = threading.Event(), None
        try:
            with logged(record.log_file):
                in_thread(self._evaluation(side, program, set(done), keep), plan.meter)
            if plan.meter.stopped is not None:  # the last calls may be those that ended it
                raise plan.meter.stopped
        except RunStop as stop:
            if stop.reason != "budget":
                raise
            stopped = stop
        finally:
            over.set()
            self._phase_over()
        return [done[item.example_id] for item in plan.splits.test if item.example_id in done], stopped

    def _evaluation(
        self, side: str, program: dspy.Module, done: set[str], keep: Callable[[Row], None]
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

        Few examples are no reason to go on without either.

        Raises:
            RunStop: where every LM call failed, or no example was scored.
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
        self._progress.phase("optimization", None)

        def keep(candidate: Candidate) -> None:
            self._record.append("candidates.jsonl", candidate)
            self._progress.candidate(candidate)

        try:
            found = search(self._plan, self._record.log_file, keep)
        finally:
            self._phase_over()
        if found.stopped is not None:
            best = "the best program so far" if found.optimizer else "no candidate was scored before: the baseline"
            self._progress.note(f"{found.stopped}; {best} is tested now")
        if found.remark:
            self._progress.note(found.remark)
        return found

    def _phase_over(self) -> None:
        self._record.sync_to_disk()
        self._record.update_info(seconds=self._plan.meter.seconds)


def _failed_share(rows: Sequence[Row]) -> float:
    return sum(row.error is not None for row in rows) / len(rows)
