"""The candidate programs that an optimizer scores, as DSPy evaluates them; the best of them is kept."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import dspy
from dspy.utils.callback import BaseCallback

from dspytrack.results.values import Candidate

OnCandidate = Callable[[Candidate], None]


@dataclass(frozen=True)
class Best:
    """A program and its mean score on all examples that were answered."""

    score: float
    program: dspy.Module


class CandidateWatch(BaseCallback):  # type: ignore[misc]
    """Sees each program an optimizer evaluates; remembers the best of those scored on all examples.

    A program that is evaluated again, as GEPA does with the parents of its mutations, is no new candidate.
    """

    def __init__(self, on_candidate: OnCandidate, max_error_rate: float) -> None:
        """Args: on_candidate is told of each; above `max_error_rate` failed examples a score says too little."""
        self.optimizer, self.whole = "", 0
        self.best: Best | None = None
        self.running = False
        """Whether an optimizer has begun and not ended."""
        self.failed = 0
        """Examples of this optimizer's evaluations that were not answered."""
        self._largest = 0
        self._max_error_rate = max_error_rate
        self._on_candidate = on_candidate
        self._open: dict[str, tuple[Any, int, AbstractContextManager[None]]] = {}
        self._steps: dict[str, int] = {}
        self._scores: dict[str, float] = {}
        self._told: set[tuple[int, bool]] = set()
        self._lock = threading.Lock()  # protects the open evaluations and what is known of candidates

    def begin(self, optimizer: str, whole: int) -> None:
        """Watch an optimizer that scores its candidates on so many examples."""
        self.optimizer, self.whole, self._largest = optimizer, whole, 0
        self.best, self.failed, self.running = None, 0, True
        self._scores.clear()

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
            self.failed += size - len(known)
            if known:
                self.scored(program, round(sum(known) / len(known), 6), size, len(known))

    def scored(self, program: dspy.Module, score: float, examples: int, answered: int | None = None) -> None:
        """Record one candidate; only what was scored on all examples may be the best so far.

        An optimizer may take fewer than it is given (MIPROv2's `auto`): then all is the most that it ever took.
        """
        self._largest = max(self._largest, examples)
        whole = examples >= min(self.whole, self._largest)
        enough = answered is None or 1 - answered / examples <= self._max_error_rate
        state = self._state(program)
        with self._lock:
            step = self._steps.setdefault(state, len(self._steps) + 1)
            if whole and enough:
                self._scores.setdefault(state, score)
            if (step, whole) in self._told or (step, True) in self._told:
                return
            self._told.add((step, whole))
            if whole and enough and (self.best is None or score > self.best.score):
                self.best = Best(score, program.deepcopy())
        self._on_candidate(Candidate(step=step, optimizer=self.optimizer, score=score, examples=examples, whole=whole))

    def better_than(self, program: dspy.Module) -> Best | None:
        """The best candidate, where failed examples kept the optimizer from ending with it.

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
