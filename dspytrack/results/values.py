"""The result of a run as values: rows of scores, the comparison of two programs, LM use, the whole.

`None` means unknown, and `unknown` says why. What each metric means is in `catalogue.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, computed_field, model_validator

from dspytrack.errors import did_you_mean
from dspytrack.results.catalogue import RESULT_METRICS

Verdict = Literal["better", "worse", "no difference shown", "inconclusive"]
Status = Literal["completed", "budget_reached", "interrupted", "failed"]
Failure = Literal["call", "program", "metric"]


class Value(BaseModel):
    """A frozen value."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Row(Value):
    """One evaluated example: score in the metric's unit, tokens, cost_usd and latency_ms of that one call.

    A failed call has `error` set and `score` None: missing data, never a zero. `failure` is what failed: an LM call
    (no response came), the program (one came, and it made no output of it) or the metric; None in old records.
    """

    example_id: str
    score: float | None
    output: dict[str, Any] | None = None
    feedback: str | None = None
    latency_ms: float | None = None
    cost_usd: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    lm_calls: int = 0
    error: str | None = None
    failure: Failure | None = None


class PerformanceMetrics(Value):
    """Means over examples: success_rate and quality_score, avg_cost in USD, avg_latency_ms in milliseconds."""

    success_rate: float | None = None
    avg_cost: float | None = None
    avg_latency_ms: float | None = None
    quality_score: float | None = None


class Comparison(Value):
    """Two programs on the same examples. Differences are optimized minus baseline, positive = better.

    `inputs` is how many of the examples' inputs are distinct: the pairs that the test counts.
    """

    baseline: PerformanceMetrics
    optimized: PerformanceMetrics
    examples: int
    inputs: int
    left_out: int
    failed_baseline: int
    failed_optimized: int
    success_rate_improvement: float | None
    cost_reduction: float | None
    latency_reduction_ms: float | None
    quality_improvement: float | None
    improvement_percentage: float | None
    p_value: float | None
    test: str
    interval_low: float | None
    interval_high: float | None
    detectable_effect: float | None
    latency_p50_ms: tuple[float | None, float | None] = (None, None)
    latency_p95_ms: tuple[float | None, float | None] = (None, None)
    verdict: Verdict
    reason: str


class RoleUsage(Value):
    """LM use of one role: billed calls, their tokens and cost (None where unknown), calls answered from the cache.

    What a provider charges for calls that timed out is not reported: no figure includes it, but the caps allow for it.
    """

    calls: int = 0
    cached_calls: int = 0
    failed_calls: int = 0
    retried_calls: int = 0
    timed_out_calls: int = 0
    prompt_tokens: int | None = 0
    completion_tokens: int | None = 0
    cost_usd: float | None = 0.0


class Candidate(Value):
    """A candidate program's score (a fraction) on `examples` examples; steps number the programs in their order.

    A score on some of the examples only (`whole` false: a minibatch) is no validation score.
    """

    step: int
    optimizer: str
    score: float
    examples: int
    whole: bool


class OptimizationResult(Value):
    """The whole result of a run, as written to the record and shown by every command.

    `record_id` is the run's id for life and names its record; `mlflow_run_id` is set once the run is in MLflow.
    Each metric of the catalogue is an attribute as well, None where it is unknown: `result.improvement_percentage`.
    `unreachable` says that the run failed because something outside, such as its LM, could not be reached.
    """

    record_id: str
    record: str
    status: Status
    verdict: Verdict | None = None
    reason: str = ""
    comparison: Comparison | None = None
    optimizer: str | None = None
    iterations: int = 0
    duration_seconds: float = 0.0
    usage: dict[str, RoleUsage] = {}
    candidates: list[Candidate] = []
    key_improvements: list[str] = []
    unknown: dict[str, str] = {}
    target_reached: dict[str, bool] = {}
    threshold_met: bool | None = None
    mlflow_run_id: str | None = None
    tracking_uri: str | None = None
    tracking_error: str | None = None
    error: str | None = None
    unreachable: bool = False

    @model_validator(mode="before")
    @classmethod
    def _without_computed(cls, data: Any) -> Any:
        """`run_id` is written with the other fields and is none of them."""
        return {name: value for name, value in data.items() if name != "run_id"} if isinstance(data, dict) else data

    @computed_field  # type: ignore[prop-decorator]
    @property
    def run_id(self) -> str:
        """The id to look the run up by: MLflow's where the run is tracked, else the record's."""
        return self.mlflow_run_id or self.record_id

    def __getattr__(self, name: str) -> float | None:
        """A metric by the name it is logged under; None where it is unknown.

        Raises:
            AttributeError: for any other name, with the nearest one.
        """
        if name in RESULT_METRICS:
            return self.metrics().get(name)
        near = "" if name.startswith("_") else did_you_mean(name, dir(self))
        raise AttributeError(f"{type(self).__name__} has no attribute `{name}`.{near}")

    def __dir__(self) -> Iterable[str]:
        return sorted({*super().__dir__(), *RESULT_METRICS})

    def metrics(self) -> dict[str, float]:
        """Every known metric by the name it is logged under (`improvement_percentage` is a fraction)."""
        found: dict[str, float | None] = {"iterations": self.iterations, "duration_seconds": self.duration_seconds}
        if self.comparison is not None:
            found |= _comparison_metrics(self.comparison)
        for role, use in self.usage.items():
            found |= {f"{role}_{name}": value for name, value in use.model_dump().items()}
        if self.usage:
            costs = [use.cost_usd for use in self.usage.values()]
            found["total_lm_calls"] = sum(use.calls for use in self.usage.values())
            found["total_cost_usd"] = None if None in costs else sum(c for c in costs if c is not None)
        return {name: float(value) for name, value in found.items() if value is not None}


def _comparison_metrics(c: Comparison) -> dict[str, float | None]:
    sides = {"baseline": c.baseline, "optimized": c.optimized}
    found: dict[str, float | None] = {
        f"{side}_{name}": value for side, means in sides.items() for name, value in means.model_dump().items()
    }
    for index, side in enumerate(sides):
        found[f"{side}_latency_p50_ms"] = c.latency_p50_ms[index]
        found[f"{side}_latency_p95_ms"] = c.latency_p95_ms[index]
    return found | {
        "success_rate_improvement": c.success_rate_improvement,
        "cost_reduction": c.cost_reduction,
        "latency_reduction_ms": c.latency_reduction_ms,
        "quality_improvement": c.quality_improvement,
        "improvement_percentage": c.improvement_percentage,
        "statistical_significance": c.p_value,
        "quality_improvement_ci_low": c.interval_low,
        "quality_improvement_ci_high": c.interval_high,
        "detectable_effect": c.detectable_effect,
        "test_examples": c.examples,
        "test_inputs": c.inputs,
        "left_out_examples": c.left_out,
        "baseline_failed_calls": c.failed_baseline,
        "optimized_failed_calls": c.failed_optimized,
    }
