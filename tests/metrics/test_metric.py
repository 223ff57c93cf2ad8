"""Metrics: the built-in ones by example, a user's own in every form that DSPy knows."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dspy
import pytest

from dspytrack.config.schema import Metric
from dspytrack.metrics.metric import ScoredMetric, build_metric


@pytest.mark.parametrize(
    ("name", "expected", "found", "score"),
    [
        ("exact_match", "Positive", " positive. ", 1.0),
        ("exact_match", "positive", "not positive", 0.0),
        ("exact_match", "", "", 0.0),
        ("exact_match", "a", None, 0.0),
        ("contains", "Paris", "It is paris, of course", 1.0),
        ("f1", "the red house", "red house", 0.8),
        ("f1", "a", "b", 0.0),
        ("numeric_match", "12", "first there is 1, then 12.4", 1.0),
        ("numeric_match", "1,200", "1200", 1.0),
        ("numeric_match", 3, "13", 0.0),
        ("numeric_match", 3, "none", 0.0),
    ],
)
def test_built_in(name: Any, expected: Any, found: Any, score: float) -> None:
    metric = build_metric(Metric(name=name, field="a", tolerance=0.5 if name == "numeric_match" else 0.0), Path())
    given = metric.score(dspy.Example(a=expected), dspy.Prediction(a=found))
    assert given.value == pytest.approx(score)


def two(example: Any, prediction: Any) -> bool:
    """The short form."""
    return bool(example.a == prediction.a)


def three(example: Any, prediction: Any, trace: Any = None) -> float:
    """With the trace."""
    return float(example.a == prediction.a)


def five(gold: Any, pred: Any, trace: Any, pred_name: Any, pred_trace: Any) -> Any:
    """GEPA's form."""
    return dspy.Prediction(score=float(gold.a == pred.a), feedback="why")


def pair(example: Any, prediction: Any) -> tuple[float, str]:
    """Score and feedback."""
    return float(example.a == prediction.a), "why"


@pytest.mark.parametrize("function", [two, three, five, pair])
def test_every_form_serves_every_optimizer(function: Callable[..., Any]) -> None:
    metric = ScoredMetric(function, function.__name__)
    example, prediction = dspy.Example(q=1, a=2).with_inputs("q"), dspy.Prediction(a=2)
    assert metric.plain(example, prediction) == 1.0
    assert metric.plain(example, prediction, trace=[]) == 1.0
    found = metric.with_feedback(example, prediction, None, "predict", None)
    assert found.score == 1.0
    assert found.feedback


def test_params_are_given_by_name() -> None:
    def near(example: Any, prediction: Any, tolerance: float = 0.0) -> bool:
        return bool(abs(example.a - prediction.a) <= tolerance)

    metric = ScoredMetric(near, "near", {"tolerance": 1.0})
    assert metric.plain(dspy.Example(a=1), dspy.Prediction(a=2)) == 1.0


def test_what_is_no_score_is_an_error() -> None:
    with pytest.raises(TypeError, match="expected a bool"):
        ScoredMetric(lambda example, prediction: "good", "good").plain(dspy.Example(), dspy.Prediction())


@pytest.mark.parametrize(
    ("expected", "found", "score"),
    [
        ("C++", "C#", 0),
        ("-5", "5", 0),
        ("+", "+", 1),
        ("a b", "A  b.", 1),
        ("5", ".5", 0),
        (".5", "'.5'.", 1),
        (",5", "5", 0),
        ("5", "+5", 0),
        ("5", "5.", 1),
        ("5", "... 5", 1),
        ("billing", ".billing, ", 1),
        ("...", "...", 1),
    ],
)
def test_exact_match_keeps_signs_and_symbols_apart(expected: str, found: str, score: float) -> None:
    metric = build_metric(Metric(name="exact_match", field="a"), Path())
    assert metric.score(dspy.Example(a=expected), dspy.Prediction(a=found)).value == score


def test_a_score_that_is_no_number_is_an_error() -> None:
    with pytest.raises(ValueError, match="finite"):
        ScoredMetric(lambda example, prediction: float("nan"), "nan").score(dspy.Example(), dspy.Prediction())


@pytest.mark.parametrize("field", ["items", "copy", "keys", "completions"])
def test_a_field_may_be_called_as_a_method_of_dspy_is(field: str) -> None:
    metric = build_metric(Metric(name="exact_match", field=field), Path())
    assert metric.plain(dspy.Example(**{field: "a"}), dspy.Prediction(**{field: "a"})) == 1.0


def test_a_metric_that_would_end_the_process_fails_as_any_other_does() -> None:
    metric = ScoredMetric(lambda example, prediction: sys.exit(0), "leaving")
    with pytest.raises(RuntimeError, match=r"the metric leaving called sys\.exit\(0\)"):
        metric.score(dspy.Example(), dspy.Prediction())


@pytest.mark.parametrize(
    ("expected", "found", "score"),
    [
        ("0.5", ".5", 1),
        (".5", "about 0.5 of it", 1),
        ("-0.5", "-.5", 1),
        ("42", "The answer is 42 (from step 3).", 1),
        ("3", "The answer is 42 (from step 3).", 0),
        ("42", "**Answer:** 42, by step 3", 1),
        ("8", "5 + 3 = 8 apples in 2 boxes", 1),
        ("-8", "x = -8", 1),
        ("12", "first 3, then 12", 1),
        ("42", "42, so the answer is plain", 1),
        ("5", "3-5", 1),
        ("-5", "3-5", 0),
        ("4", "gpt-4", 1),
        ("-5", "from 3 to -5", 1),
        ("1200", "1,200 (one thousand two hundred)", 1),
        ("3", "v1.2.3", 1),
        ("1000", "1e3", 1),
        ("5", None, 0),
    ],
)
def test_which_number_of_an_answer_counts(expected: str, found: str | None, score: float) -> None:
    metric = build_metric(Metric(name="numeric_match", field="a"), Path())
    assert metric.score(dspy.Example(a=expected), dspy.Prediction(a=found)).value == score


@pytest.mark.parametrize(
    ("name", "label", "says"),
    [("exact_match", None, "is null"), ("contains", " ", "is empty"), ("numeric_match", "many", "is no number")],
)
def test_a_label_that_cannot_be_compared_with_is_no_score(name: Any, label: str | None, says: str) -> None:
    metric = build_metric(Metric(name=name, field="a"), Path())
    with pytest.raises(ValueError, match=says):
        metric.score(dspy.Example(a=label), dspy.Prediction(a="None"))


@pytest.mark.parametrize(("said", "score"), [("0.25", 0.25), ("1", 1.0), ("3.0", None), ("-0.1", None), ("nan", None)])
def test_a_judge_that_gives_a_score_out_of_range_has_given_none(said: str, score: float | None) -> None:
    judge = dspy.utils.DummyLM([{"score": said, "feedback": "so so"}])
    metric = build_metric(Metric(name="llm_judge", rubric="Is it right?"), Path(), judge)
    example, prediction = dspy.Example(q="1", a="2").with_inputs("q"), dspy.Prediction(a="2")
    if score is not None:
        assert metric.score(example, prediction).value == score
        return
    with pytest.raises(ValueError, match=rf"the judge gave {float(said):g}; expected a score from 0 to 1"):
        metric.score(example, prediction)
