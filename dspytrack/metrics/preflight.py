"""A metric called before the run, with the first example's labels as the prediction.

Owns the call and what its error proves. Whether a run is refused or warned for it is decided by `runs/plan.py`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import dspy
from dspy.adapters.utils import parse_value

from dspytrack.metrics.metric import ScoredMetric


class MetricFault(NamedTuple):
    """What a metric raised. `is_certain` where it would raise whatever the program predicts."""

    error: Exception
    is_certain: bool


def check_metric(
    metric: ScoredMetric, program: dspy.Module, example: dspy.Example, *, imported: bool
) -> MetricFault | None:
    """Call a metric with an example and its labels; None where it gives a score.

    The labels are the whole prediction where the program was built from a signature and each of its outputs has a
    label of its type. Otherwise the real prediction holds more, and only what the metric lacks in the example itself
    is certain.

    Args:
        metric: to be called.
        program: its last predictor's signature says which outputs there are, and of which type.
        example: with its inputs marked.
        imported: whether the program is an import, whose prediction is not known.

    Raises:
        RunStop: where the metric asks an LM.
    """
    labels = example.labels().toDict() if imported else _parsed_labels(program, example)
    is_whole = not imported and labels.keys() == program.predictors()[-1].signature.output_fields.keys()
    one_completion = {name: [value] for name, value in labels.items()}
    prediction = dspy.Prediction.from_completions(one_completion) if labels else dspy.Prediction()
    try:
        metric.score(example, prediction)
    except Exception as error:  # noqa: BLE001 - the caller reports it
        return MetricFault(error, is_whole or getattr(error, "obj", None) is example)
    return None


def _parsed_labels(program: dspy.Module, example: dspy.Example) -> dict[str, Any]:
    """The labels of a program's outputs, each as a value of its output's type; those that are none are left out."""
    found = {}
    for name, field in program.predictors()[-1].signature.output_fields.items():  # ReAct predicts by its last one
        try:
            found[name] = parse_value(example[name], field.annotation)
        except Exception:  # noqa: BLE001 - no such label, or none of the output's type, however DSPy says that
            continue
    return found
