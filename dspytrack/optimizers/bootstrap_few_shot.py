"""BootstrapFewShot: demos from the teacher's own runs on train that the metric accepts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import dspy

from dspytrack.optimizers.protocol import Inputs, Optimizer, Range, SearchCalls


class BootstrapFewShot(Optimizer):
    """Builds one program and scores no candidate."""

    name = "bootstrap_few_shot"
    dspy_class = dspy.BootstrapFewShot
    constructor_inputs = frozenset({"metric", "teacher_settings", "max_errors"})
    minimums: ClassVar[Mapping[str, float]] = {"max_bootstrapped_demos": 0, "max_labeled_demos": 0, "max_rounds": 1}
    lm_roles = frozenset({"teacher"})

    def calls(self) -> SearchCalls:
        """One for each demo at least; where the metric accepts none, one an example of train and round."""
        demos = self.arguments.get("max_bootstrapped_demos", 4)
        most = self.sizes.train * self.arguments.get("max_rounds", 1) if demos else 0
        return SearchCalls(Range(min(demos, self.sizes.train), most))

    def build(self, inputs: Inputs) -> Any:
        """With the teacher's LM and the metric that accepts a demo."""
        return self.dspy_class(
            metric=inputs.metric.plain,
            teacher_settings={"lm": inputs.teacher_lm},
            max_errors=inputs.max_errors,
            **self.constructor_arguments,
        )

    def compile(self, built: Any, student: dspy.Module, inputs: Inputs) -> dspy.Module:
        """Bootstraps from train."""
        return built.compile(student, trainset=inputs.trainset, **self.compile_arguments)
