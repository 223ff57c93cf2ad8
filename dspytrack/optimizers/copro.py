"""COPRO: instructions proposed for each predictor, scored on train, and proposed anew from the best of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import dspy

from dspytrack.optimizers.protocol import Inputs, Optimizer, Range, SearchCalls


class Copro(Optimizer):
    """Scores `breadth` instructions in each of `depth` rounds."""

    name = "copro"
    dspy_class = dspy.COPRO
    constructor_inputs = frozenset({"metric", "prompt_model"})
    compile_inputs = frozenset({"trainset", "eval_kwargs"})
    minimums: ClassVar[Mapping[str, float]] = {"breadth": 2, "depth": 1, "init_temperature": 0}
    lm_roles = frozenset({"task", "prompt"})

    def calls(self) -> SearchCalls:
        """Every instruction on all of train; where there are several predictors, the earlier ones again each round.

        The proposals of a round are one LM call or, where DSPy sends a request for each of them, as many.
        """
        breadth, depth = self.arguments.get("breadth", 10), self.arguments.get("depth", 3)
        predictors = self.sizes.predictors
        rounds = depth if predictors == 1 else depth * (depth + 1) // 2
        scored = predictors * breadth * rounds * self.sizes.train
        proposals = Range(predictors * depth, predictors * (breadth * depth - 1))
        return SearchCalls(Range(scored, scored), proposals)

    def build(self, inputs: Inputs) -> Any:
        """With the LM that proposes instructions."""
        return self.dspy_class(metric=inputs.metric.plain, prompt_model=inputs.prompt_lm, **self.constructor_arguments)

    def compile(self, built: Any, student: dspy.Module, inputs: Inputs) -> dspy.Module:
        """Scores on train."""
        shown = {"num_threads": inputs.num_threads, "display_progress": False, "display_table": 0}
        return built.compile(student, trainset=inputs.trainset, eval_kwargs=shown, **self.compile_arguments)
