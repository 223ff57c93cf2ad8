"""MIPROv2: instructions and demo sets proposed first, then the best pair of them searched on val."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, log2
from typing import Any, ClassVar

import dspy
from dspy.teleprompt.mipro_optimizer_v2 import AUTO_RUN_SETTINGS, MIN_MINIBATCH_SIZE

from dspytrack.optimizers.protocol import Inputs, Optimizer, Range, SearchCalls

DEFAULT_SEED = 9  # DSPy takes a seed of 0 for "not given", and then uses this
SETS_WITHOUT_DRAWING = 3  # of demos: only for those after does it draw how many are bootstrapped
SUMMARY_BATCHES = 9  # of train, at most, that a summary of the data looks at after its first


class Miprov2(Optimizer):
    """Proposes `num_candidates` of each and scores `num_trials` pairs, or as many as `auto` says."""

    name = "miprov2"
    dspy_class = dspy.MIPROv2
    constructor_inputs = frozenset(
        {"metric", "teacher_settings", "max_errors", "num_threads", "prompt_model", "task_model", "seed"}
    )
    compile_inputs = frozenset({"trainset", "valset"})
    minimums: ClassVar[Mapping[str, float]] = {
        "max_bootstrapped_demos": 0,
        "max_labeled_demos": 0,
        "num_candidates": 1,
        "num_trials": 1,
        "init_temperature": 0,
        "minibatch_size": 1,
        "minibatch_full_eval_steps": 1,
        "view_data_batch_size": 1,
    }
    lm_roles = frozenset({"task", "teacher", "prompt"})
    uses_val = True

    def defaults(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """No `auto` beside numbers of the config's own, and then no minibatches where val is smaller than one."""
        if "auto" in given or not {"num_candidates", "num_trials"} & set(given):
            return {}
        small = self._val < given.get("minibatch_size", 35)
        return {"auto": None, **({"minibatch": False} if small and "minibatch" not in given else {})}

    def fault(self) -> str | None:
        """What DSPy refuses only after a search has begun, or cannot draw from."""
        own = [name for name in ("num_candidates", "num_trials") if self.arguments.get(name) is not None]
        if not self.sizes.val and self.sizes.train < 2:
            return "it needs 2 train examples where there are none in val; there is 1"
        if self._auto is None and len(own) < 2:
            return "num_candidates and num_trials go together; `auto: light` sets both"
        if self._auto is not None and own:
            return f"auto and {' and '.join(own)} exclude each other"
        if self._bootstrapped == 0 and self._labeled != 0 and self._candidates > SETS_WITHOUT_DRAWING:
            return "max_bootstrapped_demos 0 needs max_labeled_demos 0, too: it draws a number between 1 and that"
        if self._uses_minibatches and self._minibatch > self._scored:
            return f"minibatch_size {self._minibatch} needs as many val examples, there are {self._scored}"
        return None

    def calls(self) -> SearchCalls:
        """The trials, on minibatches where val is large, and the bootstrapping, which ends when a set has its demos."""
        sets = max(0, self._candidates - (2 if self._labeled else 1))
        if self._bootstrapped == 0 and self._labeled:
            sets = 0  # it bootstraps none; without labelled demos it bootstraps some to propose from
        scored = self._scored * (1 + self._trials)
        if self._uses_minibatches:
            every = self.arguments.get("minibatch_full_eval_steps", 5)
            scored = self._minibatch * self._trials + self._scored * (1 + ceil(self._trials / every))
        return SearchCalls(Range(scored + sets, scored + sets * self._bootstrapped_from), self._proposals())

    def _proposals(self) -> Range:
        """LM calls for a summary of the data and for each instruction, with two more where it describes the program."""
        instructions = self._candidates
        if self._auto is not None and not self._is_zero_shot:
            instructions //= 2
        least = most = instructions * self.sizes.predictors
        if self.arguments.get("program_aware_proposer", True):
            most *= 3
        if self.arguments.get("data_aware_proposer", True):
            batches = ceil(self._bootstrapped_from / self.arguments.get("view_data_batch_size", 10))
            least, most = least + 2, most + 2 + min(SUMMARY_BATCHES, batches - 1)
        return Range(least, most)

    @property
    def _auto(self) -> str | None:
        auto: str | None = self.arguments.get("auto", "light")
        return auto

    @property
    def _candidates(self) -> int:
        return int(self.arguments["num_candidates"] if self._auto is None else AUTO_RUN_SETTINGS[self._auto]["n"])

    @property
    def _trials(self) -> int:
        if self._auto is None:
            return int(self.arguments["num_trials"])
        choices = self.sizes.predictors * (1 if self._is_zero_shot else 2)
        return int(max(2 * choices * log2(self._candidates), 1.5 * self._candidates))

    @property
    def _bootstrapped(self) -> int:
        return int(self.arguments.get("max_bootstrapped_demos", 4))

    @property
    def _labeled(self) -> int:
        return int(self.arguments.get("max_labeled_demos", 4))

    @property
    def _is_zero_shot(self) -> bool:
        return not self._bootstrapped and not self._labeled

    @property
    def _minibatch(self) -> int:
        return int(self.arguments.get("minibatch_size", 35))

    @property
    def _uses_minibatches(self) -> bool:
        if self._auto is not None:
            return bool(self._scored > MIN_MINIBATCH_SIZE)
        return bool(self.arguments.get("minibatch", True))

    @property
    def _val(self) -> int:
        """Examples of val, or those that it takes from train for want of it."""
        return self.sizes.val or min(1000, int(self.sizes.train * 0.8))

    @property
    def _scored(self) -> int:
        """Examples of a full evaluation."""
        return self._val if self._auto is None else min(self._val, AUTO_RUN_SETTINGS[self._auto]["val_size"])

    @property
    def _bootstrapped_from(self) -> int:
        """Examples that demos and a summary are made of."""
        return self.sizes.train if self.sizes.val else self.sizes.train - self._val

    def build(self, inputs: Inputs) -> Any:
        """With the LMs that bootstrap, propose and answer; never with the seed 0."""
        return self.dspy_class(
            metric=inputs.metric.plain,
            teacher_settings={"lm": inputs.teacher_lm},
            max_errors=inputs.max_errors,
            num_threads=inputs.num_threads,
            prompt_model=inputs.prompt_lm,
            task_model=inputs.task_lm,
            seed=inputs.seed + DEFAULT_SEED,
            **self.constructor_arguments,
        )

    def compile(self, built: Any, student: dspy.Module, inputs: Inputs) -> dspy.Module:
        """Bootstraps from train and scores on val."""
        return built.compile(student, trainset=inputs.trainset, valset=inputs.valset, **self.compile_arguments)
