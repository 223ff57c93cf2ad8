"""Runs the optimizers of a plan and takes the best of their results; what they print goes to the log."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import dspy

from dspytrack.errors import RunStop
from dspytrack.evaluation.evaluate import evaluate
from dspytrack.lm.metering.scope import in_phase
from dspytrack.optimizers.candidates import CandidateWatch, OnCandidate
from dspytrack.optimizers.protocol import Optimizer
from dspytrack.runs.console_log import logged
from dspytrack.runs.interrupt import in_thread
from dspytrack.runs.plan import Plan


@dataclass
class Found:
    """The result of a search: a program, and the optimizer that made it.

    `score` is the mean validation score, measured where several optimizers compete; `unsure` whether more of its
    examples failed than max_error_rate allows; `stopped` why the search ended early, if it did; `remark` what the user
    should know about the choice.
    """

    program: dspy.Module
    optimizer: str | None
    score: float | None = None
    unsure: bool = False
    stopped: RunStop | None = None
    remark: str | None = None


def search(plan: Plan, log_file: Path, on_candidate: OnCandidate) -> Found:
    """Run every optimizer of the plan; of several results the best by validation score is taken (see `_rank`).

    A reached budget ends the search with the best so far (see `_best_so_far`).

    Raises:
        RunStop: where the run was interrupted or its LM cannot be reached.
    """
    watch = CandidateWatch(on_candidate, plan.request.evaluation.max_error_rate)
    results: list[Found] = []
    with logged(log_file):  # around the threads, not in them: an abandoned one must not keep stdout
        try:
            for one in plan.optimizers:
                watch.begin(one.name, one.candidate_examples)
                results.append(in_thread(lambda one=one: _run_one(plan, one, watch), plan.meter))  # type: ignore[misc]
                watch.running = False
                if len(plan.optimizers) > 1:
                    results[-1] = in_thread(lambda: _scored(plan, results[-1]), plan.meter)
            return max(results, key=_rank)
        except RunStop as stop:
            if stop.reason != "budget":
                raise
            return _best_so_far(plan, watch, results, stop)


def _run_one(plan: Plan, one: Optimizer, watch: CandidateWatch) -> Found:
    settings = {"callbacks": [watch], "max_errors": plan.inputs.max_errors}
    with dspy.context(lm=plan.lms["task"], adapter=plan.adapter, **settings), in_phase(plan.meter.phase):
        program = one.search(plan.program, plan.inputs)
    for candidate, score in one.scored_candidates(program):
        watch.scored(candidate, score, watch.examples)
    better = watch.better_than(program)
    if better is None:
        return Found(program, one.name)
    remark = (
        f"{one.name} counted {watch.failed} failed examples as a score of 0; without them another candidate is the "
        f"best ({better.score:.1%}), and that is taken"
    )
    return Found(better.program, one.name, remark=remark)


def _scored(plan: Plan, found: Found) -> Found:
    """A result with its mean score on val (train where there is no val split), over the examples that have a score."""
    request = plan.request
    with dspy.context(lm=plan.lms["task"], adapter=plan.adapter):
        rows = evaluate(
            found.program,
            plan.splits.val or plan.splits.train,
            request.dataset.inputs,
            plan.metric,
            num_threads=request.evaluation.num_threads,
        )
    known = [row.score for row in rows if row.score is not None]
    score = sum(known) / len(known) if known else None
    return replace(found, score=score, unsure=1 - len(known) / len(rows) > request.evaluation.max_error_rate)


def _rank(found: Found) -> tuple[bool, float]:
    """A score on too few examples ranks below every other."""
    return not found.unsure, -math.inf if found.score is None else found.score


def _best_so_far(plan: Plan, watch: CandidateWatch, results: list[Found], stop: RunStop) -> Found:
    """The best by validation score: of the optimizers' results, and of the candidates of the one that was running.

    The baseline, where there is neither. Scores on train, as COPRO's and SIMBA's, are not compared with those on val.
    """
    contest = list(results)
    if watch.best is not None and watch.running:
        on_val = watch.examples == len(plan.splits.val or plan.splits.train)
        score = watch.best.score if on_val or not results else None
        contest.append(Found(watch.best.program, watch.optimizer, score))
    elif watch.best is not None and results[-1].score is None:  # cut off while its result was being scored
        results[-1].score = watch.best.score
    best = max(contest, key=_rank, default=Found(plan.program, None))
    best.stopped = stop
    return best
