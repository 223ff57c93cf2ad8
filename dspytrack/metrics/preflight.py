"""A metric called before the run with an example's labels as the prediction.

Owns the prediction and what an error proves; that a run is refused for it is decided by `runs/plan.py`. Outputs without
a label are placeholders: an error after one of them was read proves nothing.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator, MutableMapping
from enum import Enum
from typing import Any, Literal, Union, get_args, get_origin

import dspy
from dspy.adapters.utils import parse_value

from dspytrack.metrics.metric import NoScoreError, ScoredMetric


def certain_fault(
    metric: ScoredMetric, program: dspy.Module, example: dspy.Example, *, imported: bool
) -> Exception | None:
    """What a metric raises on an example given its own labels, where that proves it wrong; else None.

    Outputs without a label are made up by their annotation, and so is everything but the predictors' own outputs
    where the program is an import: its Prediction may hold more. A metric that raised after it had read something
    made up may well work on a real prediction. One that returns a thing of its own that is no score never does.

    Args:
        metric: to be tried.
        program: its predictors' signatures say which outputs there are, and of which type.
        example: with its inputs marked.
        imported: whether the program is an import, whose Prediction is not known.

    Raises:
        RunStop: where the metric asks an LM.
    """
    fields = _fields(program, example, imported=imported)
    prediction = _Prediction()
    prediction._store = fields
    try:
        metric.score(example, prediction)
    except NoScoreError as error:
        return None if fields.guessed and fields.may_be_otherwise(error.found) else error
    except Exception as error:  # noqa: BLE001 - the caller says it, where it proves anything
        return None if fields.guessed else error
    return None


class _Fields(MutableMapping[str, Any]):
    """A made-up prediction's fields; `guessed` once one was read that a real prediction may have otherwise."""

    def __init__(self, real: dict[str, Any], made_up: dict[str, Any], *, complete: bool) -> None:
        self._fields, self._made_up, self._complete = made_up | real, made_up.keys() - real.keys(), complete
        self.guessed = False

    def may_be_otherwise(self, value: Any) -> bool:
        """Whether what a metric returned is nothing, or a field as it was made up."""
        return value is None or any(value is self._fields[name] for name in self._made_up)

    def __getitem__(self, key: str) -> Any:
        self.guessed |= key in self._made_up or (key not in self._fields and not self._complete)
        return self._fields[key]

    def __iter__(self) -> Iterator[str]:
        self.guessed |= bool(self._made_up) or not self._complete
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __setitem__(self, key: str, value: Any) -> None:
        self._fields[key] = value

    def __delitem__(self, key: str) -> None:
        del self._fields[key]

    def copy(self) -> dict[str, Any]:
        """What `Prediction.copy` asks of its fields."""
        return dict(self)


class _Prediction(dspy.Prediction):  # type: ignore[misc]  # DSPy is not typed
    """Made up, and so without the completions and the usage that a real one has."""

    @property
    def completions(self) -> Any:
        self._store.guessed = True
        return super().completions

    def get_lm_usage(self) -> Any:
        self._store.guessed = True
        return super().get_lm_usage()


def _fields(program: dspy.Module, example: dspy.Example, *, imported: bool) -> _Fields:
    predictors = program.predictors() if imported else program.predictors()[-1:]  # ReAct answers by its last one
    annotations = {name: field.annotation for one in predictors for name, field in one.signature.output_fields.items()}
    labels = example.toDict() if imported else {}
    made_up: dict[str, Any] = {} if imported or not isinstance(program, dspy.ReAct) else {"trajectory": {}}
    real: dict[str, Any] = {}
    for name, annotation in annotations.items():
        try:
            real[name] = parse_value(example[name], annotation)
        except Exception:  # noqa: BLE001 - no such label, or none of the output's type, however that is said
            made_up[name] = example.get(name, _blank(annotation))
    return _Fields(real, labels | made_up, complete=not imported)


def _blank(annotation: Any) -> Any:
    """A value of a type, as empty as can be."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return inner[0]
    if origin in (Union, types.UnionType):
        return _blank(inner[0])
    kind = origin or annotation
    if inspect.isclass(kind) and issubclass(kind, Enum):
        return next(iter(kind))
    return kind() if kind in (str, bool, int, float, list, dict, set, tuple) else ""
