"""What an evaluation says of a failed example: whether the LM call failed, the program, or the metric."""

from __future__ import annotations

from typing import Any

import dspy
import pytest
from dspy.utils.exceptions import AdapterParseError, ContextWindowExceededError, LMServerError

from dspytrack.data.dataset import Item
from dspytrack.evaluation.evaluate import evaluate
from dspytrack.lm.metering.scope import current_scope
from dspytrack.lm.metering.usage import Bill
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


class Varying(dspy.Module):
    """Makes one LM call the first time and two the second; fails at the third."""

    def __init__(self) -> None:
        super().__init__()
        self.namespaces: list[str] = []

    def forward(self, text: str) -> dspy.Prediction:
        scope = current_scope()
        self.namespaces.append(scope.namespace)
        times = len(self.namespaces)
        for _ in range(times):
            scope.tally.replay(Bill("task", 10 * times, 2 * times, 0.25, seconds=10.0))
        if times == 3:
            raise KeyError("team")
        return dspy.Prediction(label=("b", "another")[times - 1])


def test_each_figure_of_an_example_is_the_mean_over_its_repeats() -> None:
    program = Varying()
    metric = ScoredMetric(agrees, "agrees")
    [row] = evaluate(program, [ITEM], ["text"], metric, num_threads=1, repeats=2, namespace="baseline")
    assert (row.score, row.cost_usd, row.prompt_tokens, row.completion_tokens) == (0.5, 0.375, 25, 5)
    assert row.lm_calls == 2  # one and a half, rounded up
    assert row.latency_ms == pytest.approx(15_000, abs=1000)
    assert program.namespaces == ["baseline:1:0:", "baseline:1:1:"]  # so that each is really called


def test_without_repeats_an_example_is_run_once() -> None:
    program = Varying()
    [row] = evaluate(program, [ITEM], ["text"], ScoredMetric(agrees, "agrees"), num_threads=1)
    assert (row.score, row.lm_calls, program.namespaces) == (1.0, 1, [""])


def test_an_example_fails_where_one_of_its_repeats_does_and_is_repeated_no_more() -> None:
    program = Varying()
    [row] = evaluate(program, [ITEM], ["text"], ScoredMetric(agrees, "agrees"), num_threads=1, repeats=5)
    assert (row.score, row.failure, len(program.namespaces)) == (None, "program", 3)
