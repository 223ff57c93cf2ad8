"""What an optimizer is to a run: its facts and parameters, how many calls it makes, how it is built and searches.

Owns the base class of the optimizers and the values that they take and give. Which ones there are, and the check of
what a config says, belong to `registry.py`.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import dspy
import numpy as np

from dspytrack.metrics.metric import ScoredMetric
from dspytrack.programs.parameters import parameters_of

UNLIMITED = 10**9
"""Failed examples at which DSPy ends an evaluation: never, since the run counts them itself."""


class Range(NamedTuple):
    """A number that is not known exactly: the least and the most that it can be."""

    least: float
    most: float


class SearchCalls(NamedTuple):
    """What a search takes: calls of the program, and LM calls beside them for proposals, rules and reflection.

    A call that the run has made before counts as well, although its response comes from the run's cache and is not
    billed again. Not counted is what DSPy asks again where an output does not parse.
    """

    program: Range
    own: Range = Range(0, 0)


@dataclass(frozen=True)
class Sizes:
    """Examples in the splits that an optimizer sees, and predictors of the program."""

    train: int
    val: int
    predictors: int

    @property
    def validation(self) -> int:
        """Examples that candidates are validated on: val, or train where there is no val split."""
        return self.val or self.train


@dataclass(frozen=True)
class Inputs:
    """What a run gives its optimizers; nothing of the test split.

    `valset` is None where the run has no val split.
    """

    trainset: Sequence[dspy.Example]
    valset: Sequence[dspy.Example] | None
    metric: ScoredMetric
    task_lm: dspy.LM
    teacher_lm: dspy.LM
    prompt_lm: dspy.LM
    reflection_lm: dspy.LM
    num_threads: int
    seed: int
    max_errors: int = UNLIMITED


class ScoredProgram(NamedTuple):
    """A candidate and its mean score."""

    program: dspy.Module
    score: float


class Optimizer(ABC):
    """One of DSPy's optimizers, with the parameters that a config gives it, for a run of these sizes.

    A subclass states its facts in class variables, counts its calls, and builds and calls DSPy's class.
    """

    name: ClassVar[str]
    """As a config names it."""
    dspy_class: ClassVar[Any]
    """The class whose signatures say which parameters there are."""
    constructor_inputs: ClassVar[frozenset[str]] = frozenset()
    """Arguments of the constructor that the run supplies; a config may not."""
    compile_inputs: ClassVar[frozenset[str]] = frozenset({"trainset"})
    """Arguments of `compile` that the run supplies, besides student and teacher."""
    minimums: ClassVar[Mapping[str, float]] = {}
    """Least values of parameters: below, DSPy fails in the middle of a search or finds nothing."""
    lm_roles: ClassVar[frozenset[str]] = frozenset()
    """Roles of the LMs that a search may ask."""
    uses_val: ClassVar[bool] = False
    """Whether candidates are scored on val, where there is such a split; else on train."""
    uses_feedback: ClassVar[bool] = False
    """Whether the metric's feedback is read."""
    deterministic: ClassVar[bool | str] = True
    """True where the same seed and responses give the same program, else a sentence that says what differs."""

    def __init__(self, given: Mapping[str, Any], sizes: Sizes) -> None:
        """Args: given are the config's parameters, with names and types checked; sizes are the run's."""
        self.sizes = sizes
        self.arguments = {**self.defaults(given), **given}
        own = self.constructor_parameters()
        self.constructor_arguments = {name: value for name, value in self.arguments.items() if name in own}
        self.compile_arguments = {name: value for name, value in self.arguments.items() if name not in own}

    @classmethod
    def constructor_parameters(cls) -> dict[str, Any]:
        """The constructor's parameters that a config may give, with their types."""
        return parameters_of(cls.dspy_class.__init__, set(cls.constructor_inputs))

    @classmethod
    def parameters(cls) -> dict[str, Any]:
        """Every parameter that a config may give, with its type."""
        supplied = cls.compile_inputs | {"student", "teacher"}
        return parameters_of(cls.dspy_class.compile, set(supplied)) | cls.constructor_parameters()

    @property
    def candidate_examples(self) -> int:
        """On how many examples a candidate is scored."""
        return self.sizes.validation if self.uses_val else self.sizes.train

    def defaults(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters that follow from the run's sizes where DSPy's own default would fail."""
        return {}

    def fault(self) -> str | None:
        """What is wrong with parameters that would fail only in the middle of a search, or None."""
        return None

    @abstractmethod
    def calls(self) -> SearchCalls | None:
        """What a search takes at least and at most, or None where it cannot be known beforehand."""

    @abstractmethod
    def build(self, inputs: Inputs) -> Any:
        """DSPy's optimizer itself; no LM call is made.

        Raises:
            ValueError, TypeError, AssertionError: for a value that DSPy refuses.
        """

    @abstractmethod
    def compile(self, built: Any, student: dspy.Module, inputs: Inputs) -> dspy.Module:
        """Let DSPy's optimizer search; returns the program it ends with."""

    def search(self, program: dspy.Module, inputs: Inputs) -> dspy.Module:
        """Build DSPy's optimizer and let it search from a copy of the program; returns the program it ends with.

        Python's and NumPy's global random numbers start at the run's seed: some optimizers draw from them.
        """
        random.seed(inputs.seed)
        np.random.seed(inputs.seed % 2**32)
        return self.compile(self.build(inputs), program.deepcopy(), inputs)

    def scored_candidates(self, found: dspy.Module) -> list[ScoredProgram]:
        """Candidates that were scored without dspy.Evaluate, where they are seen as they are scored.

        Args:
            found: the program that the search ended with.
        """
        return []
