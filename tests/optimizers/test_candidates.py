"""Which candidates of a search are reported, and which of them is the best."""

from __future__ import annotations

from typing import Any

import dspy

from dspytrack.optimizers.candidates import CandidateWatch
from dspytrack.results.values import Candidate


class Echo(dspy.Module):
    """Predicts its own input, and keeps the callbacks that it is run with."""

    def __init__(self) -> None:
        super().__init__()
        self.callbacks: list[Any] = []

    def forward(self, text: str) -> dspy.Prediction:
        self.callbacks += dspy.settings.callbacks
        return dspy.Prediction(label=text)


def test_a_candidate_is_reported_and_the_calls_inside_its_evaluation_run_without_callbacks() -> None:
    seen: list[Candidate] = []
    watch, program = CandidateWatch(seen.append, 0.4), Echo()
    watch.begin("some", examples=2)
    devset = [dspy.Example(text=text, label="up").with_inputs("text") for text in ("up", "down")]
    evaluate = dspy.Evaluate(devset=devset, metric=lambda example, made: example.label == made.label, num_threads=2)
    with dspy.context(callbacks=[watch]):
        for _ in range(2):
            evaluate(program)
        assert dspy.settings.callbacks == [watch]
    assert [(candidate.step, candidate.score, candidate.whole) for candidate in seen] == [(1, 0.5, True)]
    assert program.callbacks == []


def test_only_a_score_on_all_examples_is_a_validation_score_and_a_program_scored_again_is_no_new_candidate() -> None:
    seen: list[Candidate] = []
    watch = CandidateWatch(seen.append, 0.4)
    watch.begin("some", examples=10)
    one, other = dspy.Predict("text -> label"), dspy.Predict(dspy.Signature("text -> label", "Look twice."))
    watch.scored(one, 0.5, 10)
    watch.scored(other, 1.0, 3)
    watch.scored(one, 0.3, 3)
    watch.scored(other, 0.7, 10)
    assert [(found.step, found.score, found.whole) for found in seen] == [
        (1, 0.5, True),
        (2, 1.0, False),
        (2, 0.7, True),
    ]
    assert watch.best is not None and watch.best.score == 0.7


def test_where_examples_failed_the_best_by_those_that_did_not_is_preferred() -> None:
    watch = CandidateWatch(lambda candidate: None, 0.4)
    watch.begin("some", examples=10)
    plain, better = dspy.Predict("text -> label"), dspy.Predict(dspy.Signature("text -> label", "Look twice."))
    watch.scored(plain, 0.6, 10, 10)
    watch.scored(better, 1.0, 10, 7)
    assert watch.better_than(plain) is None  # nothing failed: the optimizer has the same scores
    watch.failed = 3
    best = watch.better_than(plain)
    assert best is not None and best.score == 1.0
    assert watch.better_than(better) is None


def test_a_candidate_of_whose_examples_too_many_failed_is_never_the_best() -> None:
    watch = CandidateWatch(lambda candidate: None, 0.4)
    watch.begin("some", examples=10)
    watch.scored(dspy.Predict("text -> label"), 1.0, 10, 5)
    assert watch.best is None
