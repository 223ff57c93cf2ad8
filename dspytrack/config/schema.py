"""OptimizationRequest: what a run is asked to do, as types. One model for the config file and for Python.

Owns the keys, their defaults and what a value must be by itself; files are read by `loader.py`, and programs, data
and LMs are checked where they are built.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, field_validator, model_validator

from dspytrack.config.base import Fraction, Mark, Name, Positive, PositiveInt, Section
from dspytrack.config.keys import dotted
from dspytrack.config.lm_schema import LM, Price
from dspytrack.config.secrets import what_to_write, written_secret
from dspytrack.config.task_schema import Dataset, Metric, Program, Split, Target
from dspytrack.results.mlflow_names import fault_of_tag

__all__ = [
    "LM",
    "Constraints",
    "Dataset",
    "Evaluation",
    "Metric",
    "Objective",
    "OptimizationRequest",
    "Optimizer",
    "Price",
    "Program",
    "Registry",
    "Significance",
    "Split",
    "Target",
    "Tracking",
]

ObjectiveMetric = Literal["success_rate", "quality_score", "avg_cost", "avg_latency_ms"]


class Optimizer(Section):
    """One optimizer by name, with its own parameters."""

    name: str
    params: dict[str, Any] = Field(default_factory=dict)


class Objective(Section):
    """A metric that counts in improvement_percentage, with its weight and the value to reach."""

    metric: ObjectiveMetric
    target_value: float | None = None
    weight: Positive = 1.0


class Constraints(Section):
    """Caps of a run (null: none), and the improvement below which nothing is registered."""

    max_optimization_time: Annotated[Positive | None, Mark.CAP] = None
    min_improvement_threshold: float = 0.0
    max_cost_usd: Annotated[Positive | None, Mark.CAP] = None
    max_lm_calls: Annotated[PositiveInt | None, Mark.CAP] = None
    max_tokens: Annotated[PositiveInt | None, Mark.CAP] = None


class Evaluation(Section):
    """How programs are scored."""

    num_threads: Annotated[PositiveInt, Mark.MAY_CHANGE] = 8
    repeats: PositiveInt = 1
    max_error_rate: Fraction = 0.4
    max_consecutive_failures: Annotated[PositiveInt, Mark.MAY_CHANGE] = 20


class Significance(Section):
    """The level at which a difference counts as shown."""

    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05


class Tracking(Section):
    """Where in MLflow the run is logged, and with which tags."""

    experiment_name: str | None = None
    tags: dict[str, str] = Field(default_factory=dict)
    traces: Literal["none", "sample", "all"] = "sample"

    @field_validator("tags")
    @classmethod
    def _storable(cls, tags: dict[str, str]) -> dict[str, str]:
        for key, value in tags.items():
            fault = fault_of_tag(key, value)
            if fault is not None:
                raise ValueError(fault)
        return tags


class Registry(Section):
    """The registered model that a good result becomes a version of."""

    name: Name
    alias: str = "candidate"


def _default_objectives() -> list[Objective]:
    return [Objective(metric="success_rate"), Objective(metric="quality_score")]


class OptimizationRequest(Section):
    """A whole run. Relative paths and imports start at the config file's folder (`base_dir`)."""

    target: Target
    program: Program
    dataset: Dataset
    metric: Metric
    success_threshold: float = 1.0
    lm: LM
    prompt_lm: LM | None = None
    teacher_lm: LM | None = None
    reflection_lm: LM | None = None
    optimizer: Annotated[list[Optimizer], Field(min_length=1)]
    objectives: Annotated[list[Objective], Field(min_length=1)] = Field(default_factory=_default_objectives)
    constraints: Annotated[Constraints, Mark.MAY_CHANGE] = Field(default_factory=Constraints)
    evaluation: Evaluation = Field(default_factory=Evaluation)
    significance: Significance = Field(default_factory=Significance)
    tracking: Annotated[Tracking, Mark.MAY_CHANGE] = Field(default_factory=Tracking)
    registry: Registry | None = None
    seed: Annotated[int, Field(ge=0)] = 0

    _base_dir: Path = PrivateAttr(default_factory=Path.cwd)
    _source: Path | None = PrivateAttr(default=None)

    @field_validator("optimizer", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        """A name, one optimizer, or a list of either."""
        many = value if isinstance(value, list) else [value]
        return [{"name": one} if isinstance(one, str) else one for one in many]

    @model_validator(mode="after")
    def _no_secret(self) -> OptimizationRequest:
        loc = written_secret(self.model_dump(by_alias=True))
        if loc is not None:
            raise ValueError(f"`{dotted(loc)}`: {what_to_write(loc)}")
        return self

    @property
    def base_dir(self) -> Path:
        """The folder that relative paths and import paths start from."""
        return self._base_dir

    @property
    def source(self) -> Path | None:
        """The config file it was read from."""
        return self._source

    def placed(self, base_dir: Path, source: Path | None = None) -> OptimizationRequest:
        """The same request with another base folder, and the file it was read from."""
        copy = self.model_copy()
        copy._base_dir, copy._source = base_dir, source
        return copy

    def resolved(self) -> dict[str, Any]:
        """The whole request as plain data, defaults filled in, as written to the record."""
        return self.model_dump(mode="json", by_alias=True)
