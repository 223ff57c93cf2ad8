"""SIMBA: rules and demos learned from the examples on which a program's runs differ most, batch by batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import dspy

from dspytrack.optimizers.protocol import Inputs, Optimizer, Range, ScoredProgram, SearchCalls

COLDEST = 0.01  # its weights are exp(score / temperature), which overflows below about 0.0014


class Simba(Optimizer):
    """Scores its candidates on batches of train, and the winners of its steps on all of train at the end."""

    name = "simba"
    dspy_class = dspy.SIMBA
    constructor_inputs = frozenset({"metric", "num_threads", "prompt_model"})
    compile_inputs = frozenset({"trainset", "seed"})
    minimums: ClassVar[Mapping[str, float]] = {
        "bsize": 1,
        "num_candidates": 1,
        "max_steps": 1,
        "max_demos": 0,
        "demo_input_field_maxlen": 1,
        "temperature_for_sampling": COLDEST,
        "temperature_for_candidates": COLDEST,
    }
    lm_roles = frozenset({"task", "prompt"})

    def defaults(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """A batch no larger than train."""
        return {} if "bsize" in given else {"bsize": min(32, self.sizes.train)}

    def fault(self) -> str | None:
        """A batch needs as many train examples."""
        batch, train = self.arguments["bsize"], self.sizes.train
        return f"bsize {batch} needs as many train examples, there are {train}" if batch > train else None

    def calls(self) -> SearchCalls:
        """In each step a batch for each trajectory, then one for each new candidate; at the end the winners on train.

        A step makes at most one candidate more than `num_candidates`, each from an example of its own; where making
        them fails there may be none. A rule takes an LM call, and one that fails is tried on the next example.
        """
        batch, steps = self.arguments["bsize"], self.arguments.get("max_steps", 8)
        trajectories = self.arguments.get("num_candidates", 6)
        most_new = min(batch, trajectories + 1)
        most_winners = min(steps, trajectories) + 1
        least = steps * batch * trajectories + self.sizes.train
        most = steps * batch * (trajectories + most_new) + most_winners * self.sizes.train
        return SearchCalls(Range(least, most), Range(0, steps * batch))

    def build(self, inputs: Inputs) -> Any:
        """With the LM that writes rules."""
        return self.dspy_class(
            metric=inputs.metric.plain,
            num_threads=inputs.num_threads,
            prompt_model=inputs.prompt_lm,
            **self.constructor_arguments,
        )

    def compile(self, built: Any, student: dspy.Module, inputs: Inputs) -> dspy.Module:
        """Searches on train from the run's seed."""
        return built.compile(student, trainset=inputs.trainset, seed=inputs.seed, **self.compile_arguments)

    def scored_candidates(self, found: dspy.Module) -> list[ScoredProgram]:
        """The winners of its steps, which it leaves on the program with their scores on train."""
        return [ScoredProgram(one["program"], float(one["score"])) for one in found.candidate_programs]
