"""The sections of a request that describe the task: target, program, data and metric.

Checked here is what one section says by itself; programs, data and metrics are checked where they are built.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from dspytrack.config.base import Fraction, Name, Section
from dspytrack.config.lm_schema import LM


class Target(Section):
    """What is optimized, in the words of the team that owns it."""

    type: Literal["agent", "workflow", "component"] = "agent"
    id: Name
    scope: Literal["individual", "population", "cross_domain"] = "individual"


class Program(Section):
    """Either a signature with its instructions, or an import path of a dspy.Module class, factory or instance."""

    signature: str | None = None
    instructions: str | None = None
    module: Literal["predict", "chain_of_thought", "react"] = "predict"
    tools: list[str] = Field(default_factory=list)
    import_: str | None = Field(default=None, alias="import")
    params: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_source(self) -> Program:
        if (self.signature is None) == (self.import_ is None):
            raise ValueError("give either `signature` or `import`")
        if self.import_ is not None and self.instructions is not None:
            raise ValueError("`instructions` belong to `signature`; an imported program has its own")
        if (self.module == "react") != bool(self.tools) and self.import_ is None:
            raise ValueError("`tools` and `module: react` go together")
        if self.import_ is not None and (self.module != "predict" or self.tools):
            raise ValueError("`module` and `tools` belong to `signature`; an imported program has its own")
        return self


class Split(Section):
    """The share of the data in each split; the shares add up to 1."""

    train: Fraction = 0.4
    val: Fraction = 0.2
    test: Fraction = 0.4

    @model_validator(mode="after")
    def _whole(self) -> Split:
        total = self.train + self.val + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train, val and test must add up to 1, not {total:g}")
        if self.train == 0 or self.test == 0:
            raise ValueError("train and test must be above 0")
        return self


class Dataset(Section):
    """Where the labelled examples are and how they are split."""

    path: str | None = None
    train: str | None = None
    val: str | None = None
    test: str | None = None
    inputs: Annotated[list[str], Field(min_length=1)]
    split: Split = Field(default_factory=Split)
    stratify: str | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Dataset:
        splits = (self.train, self.val, self.test)
        if self.path is not None and any(splits):
            raise ValueError("give either `path` or `train`/`val`/`test`")
        if self.path is None and any(splits) and not (self.train and self.test):
            raise ValueError("`train` and `test` are both needed")
        return self


class Metric(Section):
    """A built-in metric by name, or an import path of a function of (example, prediction)."""

    name: Literal["exact_match", "contains", "f1", "numeric_match", "llm_judge"] | None = None
    field: str | None = None
    import_: str | None = Field(default=None, alias="import")
    params: dict[str, Any] = Field(default_factory=dict)
    tolerance: float = 0.0
    rubric: str | None = None
    lm: LM | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Metric:
        if (self.name is None) == (self.import_ is None):
            raise ValueError("give either `name` or `import`")
        if self.name == "llm_judge" and not self.rubric:
            raise ValueError("`llm_judge` needs a `rubric`")
        if self.name not in (None, "llm_judge") and self.field is None:
            raise ValueError(f"`{self.name}` needs a `field`: the output it compares")
        unused = self._without_effect()
        if unused:
            raise ValueError(f"`{unused[0]}` has no meaning for `{self.name or self.import_}`")
        return self

    def _without_effect(self) -> list[str]:
        judge, builtin = self.name == "llm_judge", self.name is not None
        used = {
            "field": builtin and not judge,
            "params": not builtin,
            "tolerance": self.name == "numeric_match",
            "rubric": judge,
            "lm": judge,
        }
        return [key for key, has_effect in used.items() if getattr(self, key) and not has_effect]
