"""LabeledFewShot: labelled train examples as demos, drawn at random."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import dspy

from dspytrack.optimizers.protocol import Inputs, Optimizer, Range, SearchCalls


class LabeledFewShot(Optimizer):
    """Scores no candidate and makes no LM call."""

    name = "labeled_few_shot"
    dspy_class = dspy.LabeledFewShot
    minimums: ClassVar[Mapping[str, float]] = {"k": 1}

    def calls(self) -> SearchCalls:
        """None are made."""
        return SearchCalls(Range(0, 0))

    def build(self, inputs: Inputs) -> Any:
        """From its own parameters alone."""
        return self.dspy_class(**self.constructor_arguments)

    def compile(self, built: Any, student: dspy.Module, inputs: Inputs) -> dspy.Module:
        """Draws from train."""
        return built.compile(student, trainset=inputs.trainset, **self.compile_arguments)
