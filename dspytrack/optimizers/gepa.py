"""GEPA: instructions evolved by reflection on the metric's feedback, kept by their scores on each val example."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any, ClassVar

import dspy
from dspy.teleprompt.gepa.gepa import AUTO_RUN_SETTINGS

from dspytrack.optimizers.protocol import Inputs, Optimizer, Range, SearchCalls

BUDGETS = ("auto", "max_full_evals", "max_metric_calls")
MERGE_EXAMPLES = 5  # of val, on which a merged candidate is tried first


class Gepa(Optimizer):
    """Searches until its budget of metric calls is used up; without one in the config, `auto: light`."""

    name = "gepa"
    dspy_class = dspy.GEPA
    constructor_inputs = frozenset({"metric", "reflection_lm", "seed", "num_threads"})
    compile_inputs = frozenset({"trainset", "valset"})
    minimums: ClassVar[Mapping[str, float]] = {
        "max_metric_calls": 1,
        "max_full_evals": 1,
        "reflection_minibatch_size": 1,
        "max_merge_invocations": 0,
    }
    lm_roles = frozenset({"task", "reflection"})
    uses_val = True
    uses_feedback = True

    def defaults(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """A budget, which DSPy has no default for."""
        return {} if set(BUDGETS) & set(given) else {"auto": "light"}

    def fault(self) -> str | None:
        """DSPy takes one budget."""
        given = [name for name in BUDGETS if self.arguments.get(name) is not None]
        return f"give one budget, not {' and '.join(given)}" if len(given) > 1 else None

    def calls(self) -> SearchCalls | None:
        """Its budget, which the step that reaches it may overrun; at least the program as it is on all of val.

        A step tries a parent and its mutation on a minibatch, or a merge on a few examples, then a better one on val.
        Arguments for gepa itself may change what a step is: then it is not known.
        """
        if self.arguments.get("gepa_kwargs"):
            return None
        val, budget = self.sizes.validation, self._budget()
        minibatch = self.arguments.get("reflection_minibatch_size", 3)
        if budget <= val:
            return SearchCalls(Range(val, val))
        last_step = max(2 * minibatch, MERGE_EXAMPLES) + val
        takes_turns = self.arguments.get("component_selector", "round_robin") == "round_robin"
        reflections = ceil((budget - val) / minibatch) * (1 if takes_turns else self.sizes.predictors)
        return SearchCalls(Range(budget, budget - 1 + last_step), Range(0, reflections))

    def _budget(self) -> int:
        """In metric calls."""
        if self.arguments.get("max_metric_calls") is not None:
            return int(self.arguments["max_metric_calls"])
        if self.arguments.get("max_full_evals") is not None:
            return int(self.arguments["max_full_evals"]) * (self.sizes.train + self.sizes.val)
        candidates = AUTO_RUN_SETTINGS[self.arguments["auto"]]["n"]
        return int(self.dspy_class.auto_budget(None, self.sizes.predictors, candidates, self.sizes.validation))

    def build(self, inputs: Inputs) -> Any:
        """With the metric's feedback and the LM that reflects on it."""
        return self.dspy_class(
            metric=inputs.metric.with_feedback,
            reflection_lm=inputs.reflection_lm,
            seed=inputs.seed,
            num_threads=inputs.num_threads,
            **self.constructor_arguments,
        )

    def compile(self, built: Any, student: dspy.Module, inputs: Inputs) -> dspy.Module:
        """Reflects on train and scores on val."""
        return built.compile(student, trainset=inputs.trainset, valset=inputs.valset, **self.compile_arguments)
