"""Runs the optimizers of a plan: watches the candidates they score, keeps the best, sends their output to the log."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dspy
from dspy.utils.callback import BaseCallback

from dspytrack.errors import RunStop
from dspytrack.optimization import optimizers
from dspytrack.optimization.evaluation import evaluate
from dspytrack.optimization.interruption import in_thread
from dspytrack.optimization.logs import logged
from dspytrack.optimization.plan import NO_LIMIT, Plan
from dspytrack.result import Candidate

OnCandidate = Callable[[Candidate], None]


@dataclass
class Found:
    """What a search ended with: a program, which optimizer made it, and why it ended early, if it did."""

    program: dspy.Module
    optimizer: str | None
    stopped: RunStop | None = None


class CandidateWatch(BaseCallback):  # type: ignore[misc]
    """Sees each program an optimizer evaluates; remembers the best of those scored on all examples.

    A program that is evaluated again, as GEPA does with the parents of its mutations, is no new candidate.
    """

    def __init__(self, on_candidate: OnCandidate) -> None:
        self.optimizer, self.whole = "", 0
        self._largest = 0
        self.best: tuple[float, dspy.Module, str] | None = None
        self._on_candidate = on_candidate
        self._open: dict[str, tuple[Any, int, AbstractContextManager[None]]] = {}
        self._steps: dict[str, int] = {}
        self._told: set[tuple[int, bool]] = set()
        self._lock = threading.Lock()  # protects the open evaluations and what is known of candidates

    def begin(self, optimizer: str, whole: int) -> None:
        """Watch an optimizer that scores its candidates on so many examples."""
        self.optimizer, self.whole, self._largest = optimizer, whole, 0

    def on_evaluate_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        """Note which program is being evaluated on how many examples.

        The modules, LMs and adapters inside go without callbacks: DSPy would draw a UUID for each of their calls.
        """
        devset = inputs.get("devset") or instance.devset
        unwatched = dspy.context(callbacks=[])
        unwatched.__enter__()
        with self._lock:
            self._open[call_id] = (inputs.get("program"), len(devset), unwatched)

    def on_evaluate_end(self, call_id: str, outputs: Any | None, exception: Exception | None = None) -> None:
        """Record the candidate's score."""
        with self._lock:
            program, size, unwatched = self._open.pop(call_id, (None, 0, nullcontext()))
        unwatched.__exit__(None, None, None)
        if exception is None and outputs is not None and program is not None:
            # DSPy scores a failed example 0 and leaves its prediction empty: it is missing data here
            known = [float(score) for _, made, score in outputs.results if not _is_empty(made)]
            if known:
                self.scored(program, round(sum(known) / len(known), 6), size)

    def scored(self, program: dspy.Module, score: float, examples: int) -> None:
        """Record one candidate; only what was scored on all examples may be the best so far.

        An optimizer may take fewer than it is given (MIPROv2's `auto`): then all is the most that it ever took.
        """
        self._largest = max(self._largest, examples)
        whole = examples >= min(self.whole, self._largest)
        state = json.dumps([self.optimizer, program.dump_state(json_mode=True)], sort_keys=True, default=str)
        with self._lock:
            step = self._steps.setdefault(state, len(self._steps) + 1)
            if (step, whole) in self._told or (step, True) in self._told:
                return
            self._told.add((step, whole))
            if whole and (self.best is None or score > self.best[0]):
                self.best = (score, program.deepcopy(), self.optimizer)
        self._on_candidate(Candidate(step=step, optimizer=self.optimizer, score=score, examples=examples, whole=whole))


def _is_empty(prediction: Any) -> bool:
    return isinstance(prediction, dspy.Prediction) and not prediction.keys()


def search(plan: Plan, log_file: Path, on_candidate: OnCandidate) -> Found:
    """Run every optimizer of the plan; of several results the best by validation score is taken.

    A reached budget ends the search with the best so far (see `_best_so_far`).

    Raises:
        RunStop: where the run was interrupted or its LM cannot be reached.
    """
    watch = CandidateWatch(on_candidate)
    results: list[Found] = []
    with logged(log_file):  # around the threads, not in them: one that is left behind must not keep stdout
        return _search(plan, watch, results)


def _search(plan: Plan, watch: CandidateWatch, results: list[Found]) -> Found:
    try:
        for one in plan.optimizers:
            watch.begin(one.name, plan.scored_on(one))
            results.append(in_thread(lambda one=one: _run_one(plan, one, watch), plan.meter))  # type: ignore[misc]
        return in_thread(lambda: _choose(plan, results), plan.meter)
    except RunStop as stop:
        if stop.reason != "budget":
            raise
        return _best_so_far(plan, watch, results, stop)


def _best_so_far(plan: Plan, watch: CandidateWatch, results: list[Found], stop: RunStop) -> Found:
    """The best scored candidate; where none was scored, what an optimizer ended with, else the baseline."""
    if watch.best is not None:
        return Found(watch.best[1], watch.best[2], stop)
    if results:
        return Found(results[-1].program, results[-1].optimizer, stop)
    return Found(plan.program, None, stop)


def _run_one(plan: Plan, one: optimizers.Prepared, watch: CandidateWatch) -> Found:
    context = {"callbacks": [watch], "max_errors": NO_LIMIT, "lm": plan.lms["task"], "adapter": plan.adapter}
    with dspy.context(**context, dspytrack_phase=plan.meter.phase):
        program = optimizers.run(one, plan.program, plan.supplies())
    if not one.row.evaluates:
        for candidate, score in optimizers.scored_candidates(program):
            watch.scored(candidate, score, watch.whole)
    return Found(program, one.name)


def _choose(plan: Plan, results: list[Found]) -> Found:
    """The best by mean validation score (train where there is no val part); one result needs no contest."""
    if len(results) == 1:
        return results[0]
    items = plan.parts.val or plan.parts.train
    request = plan.request
    scores = []
    for found in results:
        with dspy.context(lm=plan.lms["task"], adapter=plan.adapter):
            rows = evaluate(
                found.program,
                items,
                request.dataset.inputs,
                plan.metric,
                num_threads=request.evaluation.num_threads,
            )
        known = [row.score for row in rows if row.score is not None]
        scores.append(sum(known) / len(known) if known else float("-inf"))
    return results[max(range(len(results)), key=lambda index: scores[index])]
