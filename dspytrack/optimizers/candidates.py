"""The candidate programs that an optimizer scores, reported as DSPy evaluates them; the best of them is kept.

Owns what is known of candidates while a search runs; which program a run ends with is decided in `runs/search.py`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import dspy
from dspy.utils.callback import BaseCallback

from dspytrack.optimizers.protocol import ScoredProgram
from dspytrack.results.values import Candidate

OnCandidate = Callable[[Candidate], None]


class _Evaluation(NamedTuple):
    """An evaluation that has started: its program, how many examples it takes, and the context it runs in."""

    program: Any
    examples: int
    context: AbstractContextManager[None]


class CandidateWatch(BaseCallback):  # type: ignore[misc]
    """Sees each program that an optimizer evaluates; remembers the best of those scored on all examples.

    A program that is evaluated again, as GEPA does with the parents of its mutations, is no new candidate.
    """

    def __init__(self, on_candidate: OnCandidate, max_error_rate: float) -> None:
        """Prepare a watch for the optimizers of a run.

        Args:
            on_candidate: called with each candidate, and again once it is scored on all examples.
            max_error_rate: share of failed examples above which a score says too little to be the best.
        """
        self.optimizer, self.examples = "", 0
        self.best: ScoredProgram | None = None
        """The best candidate so far, with its mean score on all examples that did not fail."""
        self.running = False
        """Whether an optimizer has started and not ended."""
        self.failed = 0
        """Failed examples in this optimizer's evaluations."""
        self._largest = 0
        self._max_error_rate = max_error_rate
        self._on_candidate = on_candidate
        self._started: dict[str, _Evaluation] = {}
        self._steps: dict[str, int] = {}
        self._scores: dict[str, float] = {}
        self._reported: set[tuple[int, bool]] = set()
        self._lock = threading.Lock()  # protects the started evaluations and what is known of candidates

    def begin(self, optimizer: str, examples: int) -> None:
        """Watch an optimizer that scores its candidates on so many examples."""
        self.optimizer, self.examples, self._largest = optimizer, examples, 0
        self.best, self.failed, self.running = None, 0, True
        self._scores.clear()

    def on_evaluate_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        """Note which program is evaluated, and on how many examples.

        The modules, LMs and adapters inside run without callbacks: DSPy would draw a UUID for each of their calls.
        """
        devset = inputs.get("devset") or instance.devset
        unwatched = dspy.context(callbacks=[])
        unwatched.__enter__()
        with self._lock:
            self._started[call_id] = _Evaluation(inputs.get("program"), len(devset), unwatched)

    def on_evaluate_end(self, call_id: str, outputs: Any | None, exception: Exception | None = None) -> None:
        """Record the candidate's score."""
        with self._lock:
            started = self._started.pop(call_id, None)
        if started is None:
            return
        started.context.__exit__(None, None, None)
        if exception is None and outputs is not None and started.program is not None:
            # DSPy scores a failed example 0 and leaves its prediction empty: here it is missing data
            known = [float(score) for _, prediction, score in outputs.results if not _is_empty(prediction)]
            self.failed += started.examples - len(known)
            if known:
                score = round(sum(known) / len(known), 6)
                self.scored(started.program, score, started.examples, len(known))

    def scored(self, program: dspy.Module, score: float, examples: int, succeeded: int | None = None) -> None:
        """Record one candidate; only one that was scored on all examples can be the best so far.

        An optimizer may take fewer examples than it is given (MIPROv2's `auto`): then all are the most it ever took.

        Args:
            program: the candidate.
            score: its mean over the examples that did not fail.
            examples: how many it was scored on.
            succeeded: how many of them did not fail; None for all.
        """
        self._largest = max(self._largest, examples)
        whole = examples >= min(self.examples, self._largest)
        enough = succeeded is None or 1 - succeeded / examples <= self._max_error_rate
        state = self._state(program)
        with self._lock:
            step = self._steps.setdefault(state, len(self._steps) + 1)
            if whole and enough:
                self._scores.setdefault(state, score)
            if (step, whole) in self._reported or (step, True) in self._reported:
                return
            self._reported.add((step, whole))
            if whole and enough and (self.best is None or score > self.best.score):
                self.best = ScoredProgram(program.deepcopy(), score)
        self._on_candidate(Candidate(step=step, optimizer=self.optimizer, score=score, examples=examples, whole=whole))

    def better_than(self, program: dspy.Module) -> ScoredProgram | None:
        """The best candidate, where failed examples kept the optimizer from ending with it; else None.

        DSPy's optimizers count a failed example as a score of 0.
        """
        own = self._scores.get(self._state(program))
        if not self.failed or self.best is None or own is None or own >= self.best.score:
            return None
        return self.best

    def _state(self, program: dspy.Module) -> str:
        return json.dumps([self.optimizer, program.dump_state(json_mode=True)], sort_keys=True, default=str)


def _is_empty(prediction: Any) -> bool:
    return isinstance(prediction, dspy.Prediction) and not prediction.keys()
