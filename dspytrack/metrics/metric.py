"""One user metric -> the form each optimizer wants.

A metric is written `(example, prediction)`, or with DSPy's longer forms (`trace`, then GEPA's
`pred_name`, `pred_trace`), and returns a bool, a number, or a score with feedback.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dspytrack.config.schema import Metric
from dspytrack.errors import ConfigError, did_you_mean
from dspytrack.metrics.builtin import BUILT_IN, label_fault
from dspytrack.metrics.judge import llm_judge
from dspytrack.metrics.score import MetricFunction, Score
from dspytrack.programs.imports import import_object

if TYPE_CHECKING:
    import dspy

    from dspytrack.data.dataset import Item


class NoScoreError(TypeError):
    """A metric returned neither bool, number nor score with feedback, but `found`."""

    def __init__(self, name: str, found: object) -> None:
        self.found = found
        kind = type(found).__name__
        super().__init__(f"the metric {name} returned {kind}; expected a bool, a number or score + feedback")


class ScoredMetric:
    """A metric as a value: `score` for evaluation, `plain` for most optimizers, `with_feedback` for GEPA."""

    def __init__(self, function: MetricFunction, name: str, params: dict[str, Any] | None = None) -> None:
        self.name = name
        self._function = function
        self._params = params or {}
        self._places = _positional(function, set(self._params))

    def score(self, example: Any, prediction: Any, trace: Any = None, *more: Any) -> Score:
        """One example's score.

        Raises:
            NoScoreError: where the metric returns neither bool, number nor score with feedback.
            RuntimeError: where it would end the process.
        """
        given = (example, prediction, trace, *more, None, None)[: self._places]
        try:
            found = self._function(*given, **self._params)
        except SystemExit as leaving:
            raise RuntimeError(f"the metric {self.name} called sys.exit({leaving.code!r})") from leaving
        return _as_score(found, self.name)

    def plain(self, example: Any, prediction: Any, trace: Any = None) -> float:
        """The score as a number."""
        return self.score(example, prediction, trace).value

    def with_feedback(
        self, gold: Any, pred: Any, trace: Any = None, pred_name: str | None = None, pred_trace: Any = None
    ) -> Any:
        """GEPA's five arguments; a score with feedback, the expected fields where the metric gives none."""
        import dspy

        found = self.score(gold, pred, trace, pred_name, pred_trace)
        feedback = found.feedback
        if feedback is None:
            expected = gold.labels().toDict() if hasattr(gold, "labels") else {}
            feedback = f"Score {found.value:g}. Expected: {expected}."
        return dspy.Prediction(score=found.value, feedback=feedback)


def build_metric(spec: Metric, base_dir: Path, judge: dspy.LM | None = None) -> ScoredMetric:
    """The metric that a request names.

    Raises:
        ConfigError: where it does not import or cannot be called with (example, prediction).
    """
    if spec.import_ is not None:
        function = import_object(spec.import_, base_dir, "metric.import")
        if not callable(function):
            raise ConfigError(
                f"`{spec.import_}` is a {type(function).__name__}; expected a function of (example, prediction)",
                key="metric.import",
            )
        try:
            return ScoredMetric(function, spec.import_, dict(spec.params))
        except ValueError as error:
            raise ConfigError(str(error), key="metric.import") from error
    if spec.name == "llm_judge":
        return ScoredMetric(llm_judge(spec.rubric or "", judge), "llm_judge")
    assert spec.field is not None
    field, tolerance = spec.field, spec.tolerance

    def builtin(example: Any, prediction: Any) -> float:
        read = getattr(prediction, "get", None)  # of a Prediction: `items`, `copy` and the like are its methods
        expected, found = example[field], getattr(prediction, field, None) if read is None else read(field)
        if expected is None:
            raise ValueError(f"the label `{field}` is null")
        return BUILT_IN[str(spec.name)](expected, found, tolerance)

    return ScoredMetric(builtin, str(spec.name))


def check_field(spec: Metric, outputs: set[str] | None, items: Iterable[Item]) -> None:
    """A built-in metric's field must be an output, and have a label that it can compare with in every row of the data.

    Args:
        spec: the request's `metric`.
        outputs: of the program, None where they are not known: an import's Prediction may hold any.
        items: the examples of all splits.

    Raises:
        ConfigError: where it is not, or a row's label is missing, null or of no use to the metric.
    """
    name = spec.field
    if name is None:
        return
    if outputs is not None and name not in outputs:
        raise ConfigError(f"no output of the program has `{name}`.{did_you_mean(name, outputs)}", key="metric.field")
    for item in items:
        if name not in item.fields:
            near, has = did_you_mean(name, item.fields), ", ".join(item.fields) or "nothing"
            raise ConfigError(f"the data has no `{name}` at {item.place}.{near} It has: {has}.", key="metric.field")
        wrong = label_fault(str(spec.name), item.fields[name])
        if wrong is not None:
            raise ConfigError(f"the label `{name}` at {item.place} {wrong}", key="metric.field")


def _positional(function: MetricFunction, keywords: set[str]) -> int:
    """How many positional arguments a metric takes, 2 to 5."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 2
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return 5
    places = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    places = [p for p in places if p.name not in keywords]
    needed = sum(p.default is p.empty for p in places)
    if len(places) < 2 or needed > 5:
        raise ValueError("expected a function of (example, prediction), or with (…, trace, pred_name, pred_trace) too")
    usual = ("trace", "pred_name", "pred_trace")
    extra = 0
    for place in places[2:5]:
        if place.default is not place.empty and place.name not in usual:
            break
        extra += 1
    return 2 + extra


def _as_score(found: Any, name: str) -> Score:
    score = _read_score(found, name)
    if not math.isfinite(score.value):
        raise ValueError(f"the metric {name} returned {score.value}; expected a finite number")
    return score


def _read_score(found: Any, name: str) -> Score:
    if isinstance(found, bool | int | float):
        return Score(float(found))
    if isinstance(found, dict) and "score" in found:
        return Score(float(found["score"]), found.get("feedback"))
    if isinstance(found, tuple) and len(found) == 2:
        return Score(float(found[0]), None if found[1] is None else str(found[1]))
    if hasattr(found, "score"):
        return Score(float(found.score), getattr(found, "feedback", None))
    if hasattr(found, "item"):
        return Score(float(found.item()))
    raise NoScoreError(name, found)
