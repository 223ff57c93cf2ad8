"""What a search sees of its candidates."""

from __future__ import annotations

from typing import Any

import dspy

from dspytrack.optimization.search import CandidateWatch
from dspytrack.result import Candidate


class Parrot(dspy.Module):
    """Says what it is told, and notes who is watching."""

    def __init__(self) -> None:
        super().__init__()
        self.watchers: list[Any] = []

    def forward(self, text: str) -> dspy.Prediction:
        self.watchers += dspy.settings.callbacks
        return dspy.Prediction(label=text)


def test_a_candidate_is_watched_but_not_each_call_inside_its_evaluation() -> None:
    seen: list[Candidate] = []
    watch, parrot = CandidateWatch(2, seen.append), Parrot()
    devset = [dspy.Example(text=text, label="up").with_inputs("text") for text in ("up", "down")]
    evaluate = dspy.Evaluate(devset=devset, metric=lambda example, made: example.label == made.label, num_threads=2)
    with dspy.context(callbacks=[watch]):
        for _ in range(2):
            evaluate(parrot)
        assert dspy.settings.callbacks == [watch]
    assert [candidate.score for candidate in seen] == [0.5, 0.5]
    assert parrot.watchers == []
