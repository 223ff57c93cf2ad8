"""A request with everything it names loaded and checked: the last place where a mistake costs nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dspy

from dspytrack.errors import ConfigError, RunStop
from dspytrack.optimization.budget import Meter
from dspytrack.optimization.dataset import Item, Parts, load_parts, to_examples
from dspytrack.optimization.lm import MeteredLM, adapter_for, build_lm, metered
from dspytrack.optimization.metric import ScoredMetric, build_metric, check_field
from dspytrack.optimization.optimizers import Prepared, Sizes, prepare
from dspytrack.optimization.program import build_program, output_fields
from dspytrack.request import OptimizationRequest

ROLES = ("task", "teacher", "prompt", "reflection")


@dataclass(frozen=True)
class Plan:
    """A run, ready to start."""

    request: OptimizationRequest
    program: dspy.Module
    parts: Parts
    metric: ScoredMetric
    lms: Mapping[str, MeteredLM]
    meter: Meter
    adapter: dspy.Adapter | None
    optimizers: Sequence[Prepared]

    @property
    def sizes(self) -> Sizes:
        """What estimates depend on."""
        return Sizes(len(self.parts.train), len(self.parts.val), len(self.program.predictors()))

    def scored_on(self, optimizer: Prepared) -> int:
        """How many examples an optimizer scores a candidate on: val, or train where it is given no other."""
        return (len(self.parts.val) if "valset" in optimizer.row.compiles else 0) or len(self.parts.train)

    def supplies(self) -> dict[str, Any]:
        """What the table of optimizers draws its arguments from; never anything of the test part."""
        inputs, seed = self.request.dataset.inputs, self.request.seed
        val = to_examples(self.parts.val, inputs)
        threads = self.request.evaluation.num_threads
        return {
            "trainset": to_examples(self.parts.train, inputs),
            "valset": val or None,
            "plain_metric": self.metric.plain,
            "feedback_metric": self.metric.with_feedback,
            "num_threads": threads,
            "seed": seed,
            "seed_not_0": seed + 9,  # MIPROv2 takes 0 for "not given"; 9 is its own default
            "task_lm": self.lms["task"],
            "prompt_lm": self.lms["prompt"],
            "reflection_lm": self.lms["reflection"],
            "teacher_settings": {"lm": self.lms["teacher"]},
            "max_errors": NO_LIMIT,
            "eval_kwargs": {"num_threads": threads, "display_progress": False, "display_table": 0},
        }


NO_LIMIT = 10**9  # failed examples are counted by the run itself


def make_plan(request: OptimizationRequest, training_data: Sequence[Mapping[str, Any]] | None = None) -> Plan:
    """Load and check everything a request names; no LM call is made.

    Raises:
        ConfigError: for the first thing that is wrong, with its key.
    """
    parts = load_parts(request.dataset, request.base_dir, request.seed, training_data)
    program = build_program(request.program, request.base_dir)
    _check_inputs(request, program)
    meter = Meter(request.constraints, request.evaluation.max_consecutive_failures)
    _meter_own_lms(program, meter)
    lms = _build_lms(request, meter)
    judge = build_lm(request.metric.lm, role="judge", meter=meter, key="metric.lm") if request.metric.lm else None
    metric = build_metric(request.metric, request.base_dir, judge)
    if request.program.import_ is None:
        check_field(request.metric, output_fields(program), set(parts.train[0].fields))
    sizes = Sizes(len(parts.train), len(parts.val), len(program.predictors()))
    many = len(request.optimizer) > 1
    prepared = [
        prepare(one, sizes, f"optimizer.{index}" if many else "optimizer")
        for index, one in enumerate(request.optimizer)
    ]
    _check_caps(request, lms, len(parts.test) * request.evaluation.repeats * sizes.predictors)
    adapter = adapter_for(request.lm)
    if request.metric.name != "llm_judge":
        _try_metric(metric, program, parts.train[0], request)
    _try_program(program, parts.train[0], request, adapter)
    return Plan(request, program, parts, metric, lms, meter, adapter, prepared)


def _build_lms(request: OptimizationRequest, meter: Meter) -> dict[str, MeteredLM]:
    task = build_lm(request.lm, role="task", meter=meter)
    lms = {"task": task}
    for role in ROLES[1:]:
        spec = getattr(request, f"{role}_lm")
        lms[role] = task.as_role(role) if spec is None else build_lm(spec, role=role, meter=meter, key=f"{role}_lm")
    return lms


def _meter_own_lms(program: dspy.Module, meter: Meter) -> None:
    """LMs that a program sets on its predictors are counted and capped like the run's own."""
    for _, predictor in program.named_predictors():
        if predictor.lm is not None:
            predictor.lm = metered(predictor.lm, meter, "program.import")


def _check_caps(request: OptimizationRequest, lms: Mapping[str, MeteredLM], evaluation_calls: int) -> None:
    """A cap must leave room for baseline and final evaluation, and money can only be capped where prices are known."""
    caps = request.constraints
    if caps.max_lm_calls is not None and caps.max_lm_calls < 2 * evaluation_calls:
        raise ConfigError(
            f"{caps.max_lm_calls} calls do not suffice for the baseline and the final evaluation, which take "
            f"{evaluation_calls} each; give {2 * evaluation_calls} or more",
            key="constraints.max_lm_calls",
        )
    if caps.max_cost_usd is None:
        return
    for role, lm in lms.items():
        if not lm.price_known:
            key = "lm" if getattr(request, f"{role}_lm", None) is None else f"{role}_lm"
            raise ConfigError(
                f"max_cost_usd needs the price of `{lm.model}`, which is not known; "
                "give price: {input_per_million: …, output_per_million: …}",
                key=f"{key}.price",
            )


def _check_inputs(request: OptimizationRequest, program: dspy.Module) -> None:
    if request.program.signature is None:
        return
    predictor = program.predictors()[0]
    for name in predictor.signature.input_fields:
        if name not in request.dataset.inputs and name != "trajectory":
            raise ConfigError(f"the signature's input `{name}` is not among them", key="dataset.inputs")


def _try_metric(metric: ScoredMetric, program: dspy.Module, item: Item, request: OptimizationRequest) -> None:
    """The metric must work on the first example with the right answer as its prediction."""
    example = to_examples([item], request.dataset.inputs)[0]
    blank = dict.fromkeys(output_fields(program), "")
    prediction = dspy.Prediction(**(blank | item.fields))
    try:
        metric.score(example, prediction)
    except Exception as error:
        key = "metric.import" if request.metric.import_ else "metric"
        where = f"raises on the first example ({item.place}) given its own labels"
        raise ConfigError(f"`{metric.name}` {where}: {type(error).__name__}: {error}", key=key) from error


def _try_program(program: dspy.Module, item: Item, request: OptimizationRequest, adapter: dspy.Adapter | None) -> None:
    """The program must get as far as its first LM call on the first example."""
    closed = Meter()
    closed.stop("preflight", "no call is made while a run is being checked")
    probe = build_lm(request.lm, meter=closed)
    example = to_examples([item], request.dataset.inputs)[0]
    try:
        with dspy.context(lm=probe, adapter=adapter):
            program.deepcopy()(**example.inputs())
    except RunStop:
        return
    except Exception as error:
        key = "program.import" if request.program.import_ else "program"
        where = f"raises on the first example ({item.place}) before any LM call"
        raise ConfigError(f"{where}: {type(error).__name__}: {error}", key=key) from error
