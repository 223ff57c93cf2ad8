"""What an evaluation says of a failed example: whether the LM call failed, the program, or the metric."""

from __future__ import annotations

from typing import Any

import dspy
import pytest
from dspy.utils.exceptions import AdapterParseError, ContextWindowExceededError, LMServerError

from dspytrack.data.dataset import Item
from dspytrack.evaluation.evaluate import evaluate
from dspytrack.metrics.metric import ScoredMetric

ITEM = Item("1", {"text": "a", "label": "b"}, "here:1")


def unparsed() -> AdapterParseError:
    """An answer without form."""
    return AdapterParseError("ChatAdapter", dspy.Signature("text -> label"), "no form")


class Failing(dspy.Module):
    """Raises what it is told, the second while it handles the first."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__()
        self.errors = errors

    def forward(self, text: str) -> dspy.Prediction:
        try:
            raise self.errors[0]
        finally:
            if len(self.errors) > 1:
                raise self.errors[1]


def agrees(example: Any, prediction: Any) -> bool:
    """Whether the labels agree."""
    return bool(example.label == prediction.label)


@pytest.mark.parametrize(
    ("errors", "kind"),
    [
        ((LMServerError("down"),), "call"),
        ((LMServerError("down"), RuntimeError("no route")), "call"),
        ((unparsed(),), "program"),
        ((unparsed(), LMServerError("down")), "call"),
        ((LMServerError("down"), unparsed()), "program"),
        ((ContextWindowExceededError(message="too long"),), "program"),
        ((KeyError("team"),), "program"),
    ],
)
def test_a_failure_is_the_calls_where_no_answer_came_and_the_programs_where_one_did(
    errors: tuple[Exception, ...], kind: str
) -> None:
    [row] = evaluate(Failing(*errors), [ITEM], ["text"], ScoredMetric(agrees, "agrees"), num_threads=1)
    assert (row.score, row.failure) == (None, kind)
    assert row.error is not None


@pytest.mark.parametrize(
    ("error", "kind"), [(KeyError("team"), "metric"), (unparsed(), "metric"), (LMServerError("down"), "call")]
)
def test_what_a_metric_raises_is_the_metrics_failure_but_where_its_own_lm_gave_no_answer(
    error: Exception, kind: str
) -> None:
    class Answering(dspy.Module):
        def forward(self, text: str) -> dspy.Prediction:
            return dspy.Prediction(label=text)

    def judge(example: Any, prediction: Any) -> float:
        raise error

    [row] = evaluate(Answering(), [ITEM], ["text"], ScoredMetric(judge, "judge"), num_threads=1)
    assert (row.score, row.failure) == (None, kind)
