"""BootstrapFewShotWithRandomSearch: many sets of bootstrapped demos, each scored on val."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import dspy

from dspytrack.optimizers.protocol import Inputs, Optimizer, Range, SearchCalls

FIRST_SEED = -3
"""DSPy numbers the candidates from here: without demos, with labelled ones, then each with bootstrapped ones."""
FIRST_BOOTSTRAPPED = -1


class BootstrapRandomSearch(Optimizer):
    """Scores `num_candidate_programs` + 3 candidates, or those of them that `restrict` lists."""

    name = "bootstrap_random_search"
    dspy_class = dspy.BootstrapFewShotWithRandomSearch
    constructor_inputs = frozenset({"metric", "teacher_settings", "max_errors", "num_threads"})
    compile_inputs = frozenset({"trainset", "valset"})
    minimums: ClassVar[Mapping[str, float]] = {
        "max_bootstrapped_demos": 1,
        "max_labeled_demos": 0,
        "max_rounds": 1,
        "num_candidate_programs": 0,
    }
    lm_roles = frozenset({"task", "teacher"})
    uses_val = True

    def fault(self) -> str | None:
        """`restrict` must leave a candidate."""
        last = self._seeds_without_restriction()[-1]
        return None if self._seeds() else f"restrict must list some of the numbers from {FIRST_SEED} to {last}"

    def calls(self) -> SearchCalls:
        """Every candidate on all of val, and its bootstrapping, which ends when it has its demos."""
        seeds, val = self._seeds(), self.sizes.validation
        bootstrapped = sum(seed >= FIRST_BOOTSTRAPPED for seed in seeds)
        tries = self.sizes.train * self.arguments.get("max_rounds", 1)
        stops_early = self.arguments.get("stop_at_score") is not None
        least = val if stops_early else len(seeds) * val + bootstrapped
        return SearchCalls(Range(least, len(seeds) * val + bootstrapped * tries))

    def _seeds(self) -> list[int]:
        restrict = self.arguments.get("restrict")
        seeds = self._seeds_without_restriction()
        if restrict is None:
            return list(seeds)
        return [seed for seed in seeds if seed in restrict] if isinstance(restrict, list | tuple | set) else []

    def _seeds_without_restriction(self) -> range:
        return range(FIRST_SEED, self.arguments.get("num_candidate_programs", 16))

    def build(self, inputs: Inputs) -> Any:
        """With the teacher's LM, and the metric that accepts a demo and scores a candidate."""
        return self.dspy_class(
            metric=inputs.metric.plain,
            teacher_settings={"lm": inputs.teacher_lm},
            max_errors=inputs.max_errors,
            num_threads=inputs.num_threads,
            **self.constructor_arguments,
        )

    def compile(self, built: Any, student: dspy.Module, inputs: Inputs) -> dspy.Module:
        """Bootstraps from train and scores on val."""
        return built.compile(student, trainset=inputs.trainset, valset=inputs.valset, **self.compile_arguments)
