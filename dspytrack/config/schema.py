"""OptimizationRequest: what a run is asked to do, as types. One model for the config file and for Python.

Owns names, defaults and the checks one value allows by itself; files are read in `config_file.py`,
programs, data and LMs are checked where they are built.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator

from dspytrack.config import urls as web_address
from dspytrack.config.secrets import dotted, what_to_write, written_secret
from dspytrack.results.mlflow_names import fault_of_tag

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Name = Annotated[str, Field(min_length=1)]
ObjectiveMetric = Literal["success_rate", "quality_score", "avg_cost", "avg_latency_ms"]


class Part(BaseModel):
    """A part of the request: unknown keys are errors, values do not change once checked."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, hide_input_in_errors=True)


class Target(Part):
    """What is optimized, in the words of the team that owns it."""

    type: Literal["agent", "workflow", "component"] = "agent"
    id: Name
    scope: Literal["individual", "population", "cross_domain"] = "individual"


class Program(Part):
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


class Split(Part):
    """Shares of the data for each split; they add up to 1."""

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


class Dataset(Part):
    """Where the labelled examples are and how they are parted."""

    path: str | None = None
    train: str | None = None
    val: str | None = None
    test: str | None = None
    inputs: Annotated[list[str], Field(min_length=1)]
    split: Split = Field(default_factory=Split)
    stratify: str | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Dataset:
        parts = (self.train, self.val, self.test)
        if self.path is not None and any(parts):
            raise ValueError("give either `path` or `train`/`val`/`test`")
        if self.path is None and any(parts) and not (self.train and self.test):
            raise ValueError("`train` and `test` are both needed")
        return self


class Price(Part):
    """USD for a million tokens, where the model's price is not public."""

    input_per_million: Annotated[float, Field(ge=0)]
    output_per_million: Annotated[float, Field(ge=0)]


class LM(Part):
    """A language model: any DSPy model string, or `local` for the embedded one. Keys come from the environment.

    In `options`, a secret (a header that is a key, for example) is written as `${VAR}` and stays so: no run shows it.
    """

    model: Name
    path: str | None = None
    api_base: str | None = None
    api_key_env: str | None = None
    temperature: Annotated[float, Field(ge=0)] | None = None
    max_tokens: Annotated[int, Field(gt=0)] | None = None
    timeout: Positive = 120.0
    num_retries: Annotated[int, Field(ge=0)] = 3
    price: Price | None = None
    options: dict[str, Any] = Field(default_factory=dict)

    @field_validator("api_base")
    @classmethod
    def _an_address(cls, value: str | None) -> str | None:
        why = web_address.fault_of(value) if value is not None else None
        if why is not None:
            raise ValueError(f"expected an address such as http://localhost:8000/v1; {why}")
        return value


class Metric(Part):
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
        idle = self._without_effect()
        if idle:
            raise ValueError(f"`{idle[0]}` has no meaning for `{self.name or self.import_}`")
        return self

    def _without_effect(self) -> list[str]:
        judge, builtin = self.name == "llm_judge", self.name is not None
        taken = {
            "field": builtin and not judge,
            "params": not builtin,
            "tolerance": self.name == "numeric_match",
            "rubric": judge,
            "lm": judge,
        }
        return [key for key, has_effect in taken.items() if getattr(self, key) and not has_effect]


class Optimizer(Part):
    """One optimizer by name, with its own parameters."""

    name: str
    params: dict[str, Any] = Field(default_factory=dict)


class Objective(Part):
    """A metric that takes part in improvement_percentage."""

    metric: ObjectiveMetric
    target_value: float | None = None
    weight: Positive = 1.0


class Constraints(Part):
    """Caps of a run (null: none) and the improvement below which nothing is registered."""

    max_optimization_time: Positive | None = None
    min_improvement_threshold: float = 0.0
    max_cost_usd: Positive | None = None
    max_lm_calls: Annotated[int, Field(gt=0)] | None = None
    max_tokens: Annotated[int, Field(gt=0)] | None = None


class Evaluation(Part):
    """How programs are scored."""

    num_threads: Annotated[int, Field(gt=0)] = 8
    repeats: Annotated[int, Field(gt=0)] = 1
    max_error_rate: Fraction = 0.4
    max_consecutive_failures: Annotated[int, Field(gt=0)] = 20


class Significance(Part):
    """The level at which a difference counts as shown."""

    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05


class Tracking(Part):
    """Where in MLflow the run goes."""

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


class Registry(Part):
    """The registered model a good result becomes a version of."""

    name: Name
    alias: str = "candidate"


def _default_objectives() -> list[Objective]:
    return [Objective(metric="success_rate"), Objective(metric="quality_score")]


class OptimizationRequest(Part):
    """A whole run. Relative paths and imports are found beside the config file (`base_dir`)."""

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
    constraints: Constraints = Field(default_factory=Constraints)
    evaluation: Evaluation = Field(default_factory=Evaluation)
    significance: Significance = Field(default_factory=Significance)
    tracking: Tracking = Field(default_factory=Tracking)
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
