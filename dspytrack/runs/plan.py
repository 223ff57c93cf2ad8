"""A request with everything it names loaded and checked: the last place where a mistake costs nothing."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dspy

from dspytrack.config.schema import LM, OptimizationRequest
from dspytrack.data.dataset import Item, Parts, load_parts, to_examples
from dspytrack.errors import ConfigError, RunStop, did_you_mean
from dspytrack.lm.build import MeteredLM, adapter_for, build_lm, metered
from dspytrack.lm.metering.dspy_hooks import metering
from dspytrack.lm.metering.meter import Meter
from dspytrack.metrics.metric import ScoredMetric, build_metric, check_field
from dspytrack.metrics.preflight import certain_fault
from dspytrack.optimizers.protocol import Inputs, Optimizer
from dspytrack.optimizers.registry import configure
from dspytrack.programs.build import TAKEN_IN_CALLS, build_program, output_fields

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
    inputs: Inputs
    optimizers: Sequence[Optimizer]


def make_plan(request: OptimizationRequest, training_data: Sequence[Mapping[str, Any]] | None = None) -> Plan:
    """Load and check everything a request names; no LM call is made.

    Raises:
        ConfigError: for the first thing that is wrong, with its key.
    """
    parts = load_parts(request.dataset, request.base_dir, request.seed, training_data)
    program = build_program(request.program, request.base_dir)
    _check_inputs(request, program, parts.train[0].place)
    meter = Meter(request.constraints, request.evaluation.max_consecutive_failures)
    _meter_own_lms(program, meter)
    lms = _build_lms(request, meter)
    judge = _built(request, request.metric.lm, "judge", meter, "metric.lm") if request.metric.lm else None
    metric = build_metric(request.metric, request.base_dir, judge)
    outputs = output_fields(program) if request.program.import_ is None else None
    check_field(request.metric, outputs, [*parts.train, *parts.val, *parts.test])
    inputs, predictors = _inputs(request, parts, metric, lms), len(program.predictors())
    many = len(request.optimizer) > 1
    optimizers = [
        configure(spec, inputs, predictors, f"optimizer.{index}" if many else "optimizer")
        for index, spec in enumerate(request.optimizer)
    ]
    _check_call_cap(request, len(parts.test) * request.evaluation.repeats * _fewest_calls(request, predictors))
    if request.constraints.max_cost_usd is not None:
        _check_prices(request, program, lms, judge)
    adapter = adapter_for(request.lm)
    with _no_calls(request, adapter) as closed:
        if request.metric.name != "llm_judge":
            _try_metric(metric, program, parts.train[0], request)
        _try_program(program, parts.train[0], request, closed)
    return Plan(request, program, parts, metric, lms, meter, adapter, inputs, optimizers)


def _inputs(request: OptimizationRequest, parts: Parts, metric: ScoredMetric, lms: Mapping[str, MeteredLM]) -> Inputs:
    """What the optimizers are given: nothing of the test split."""
    return Inputs(
        trainset=to_examples(parts.train, request.dataset.inputs),
        valset=to_examples(parts.val, request.dataset.inputs) or None,
        metric=metric,
        task_lm=lms["task"],
        teacher_lm=lms["teacher"],
        prompt_lm=lms["prompt"],
        reflection_lm=lms["reflection"],
        num_threads=request.evaluation.num_threads,
        seed=request.seed,
    )


def _build_lms(request: OptimizationRequest, meter: Meter) -> dict[str, MeteredLM]:
    task = _built(request, request.lm, "task", meter, "lm")
    lms = {"task": task}
    for role in ROLES[1:]:
        spec = getattr(request, f"{role}_lm")
        lms[role] = task.as_role(role) if spec is None else _built(request, spec, role, meter, f"{role}_lm")
    return lms


def _built(request: OptimizationRequest, spec: LM, role: str, meter: Meter, key: str) -> MeteredLM:
    """An LM of the request; a model file's relative path starts beside the config file."""
    if spec.path is not None:
        spec = spec.model_copy(update={"path": str(request.base_dir / spec.path)})
    return build_lm(spec, role=role, meter=meter, key=key)


def _meter_own_lms(program: dspy.Module, meter: Meter) -> None:
    """LMs that a program sets on its predictors are counted and capped like the run's own."""
    for _, predictor in program.named_predictors():
        if predictor.lm is not None:
            predictor.lm = metered(predictor.lm, meter, "program.import")


def _fewest_calls(request: OptimizationRequest, predictors: int) -> int:
    """LM calls that one example takes at least; of a program's own code it is not known which predictors it asks."""
    return (predictors if request.program.import_ is None else min(1, predictors)) + judge_calls(request)


def judge_calls(request: OptimizationRequest) -> int:
    """LM calls that scoring one prediction takes, as far as that is known: a metric's own code may make any."""
    return int(request.metric.name == "llm_judge")


def _check_call_cap(request: OptimizationRequest, evaluation_calls: int) -> None:
    """A cap must leave room for baseline and final evaluation."""
    cap = request.constraints.max_lm_calls
    if cap is not None and cap < 2 * evaluation_calls:
        raise ConfigError(
            f"{cap} calls do not suffice for the baseline and the final evaluation, which take "
            f"{evaluation_calls} each; give {2 * evaluation_calls} or more",
            key="constraints.max_lm_calls",
        )


def _check_prices(
    request: OptimizationRequest, program: dspy.Module, lms: Mapping[str, MeteredLM], judge: MeteredLM | None
) -> None:
    """Money can only be capped where prices are known."""
    used = [("lm" if getattr(request, f"{role}_lm", None) is None else f"{role}_lm", lm) for role, lm in lms.items()]
    used += [("metric.lm", judge)] if judge is not None else []
    used += [("program.import", one.lm) for one in program.predictors() if one.lm is not None]
    for key, lm in used:
        if not lm.price_known:
            raise ConfigError(
                f"max_cost_usd needs the price of `{lm.model}`, which is not known; "
                "give price: {input_per_million: …, output_per_million: …}",
                key=key if key == "program.import" else f"{key}.price",
            )


def _check_inputs(request: OptimizationRequest, program: dspy.Module, place: str) -> None:
    kind = type(program)
    named = inspect.signature(getattr(kind, "forward", kind.__call__)).parameters
    for name in request.dataset.inputs:
        if name in TAKEN_IN_CALLS and name not in named:
            said = f"the column `{name}` ({place}) would be lost: DSPy keeps that name for itself; rename it"
            raise ConfigError(said, key="dataset.inputs")
    if request.program.signature is None:
        return
    predictor = program.predictors()[0]
    for name in predictor.signature.input_fields:
        if name not in request.dataset.inputs and name != "trajectory":
            raise ConfigError(f"the signature's input `{name}` is not among them", key="dataset.inputs")
    for name in request.dataset.inputs:
        if name not in predictor.signature.input_fields:
            output = f"`{name}` is an output of the signature, and no input of it"
            said = f"the signature has no input `{name}`.{did_you_mean(name, predictor.signature.input_fields)}"
            raise ConfigError(output if name in output_fields(program) else said, key="dataset.inputs")


@contextmanager
def _no_calls(request: OptimizationRequest, adapter: dspy.Adapter | None) -> Iterator[MeteredLM]:
    """An LM that ends what asks it, as does every other LM inside: a check gets as far as its first call."""
    closed = Meter()
    closed.stop("preflight", "no call is made while a run is being checked")
    probe = _built(request, request.lm, "task", closed, "lm")
    with (
        TemporaryDirectory() as folder,
        metering(Path(folder) / "responses.jsonl", closed),
        dspy.context(lm=probe, adapter=adapter),
    ):
        yield probe


def _try_metric(metric: ScoredMetric, program: dspy.Module, item: Item, request: OptimizationRequest) -> None:
    """The metric must work on the first example with the right answer as its prediction, or ask an LM about it."""
    example = to_examples([item], request.dataset.inputs)[0]
    try:
        error = certain_fault(metric, program, example, imported=request.program.import_ is not None)
    except RunStop:
        return
    if error is not None:
        key = "metric.import" if request.metric.import_ else "metric"
        where = f"raises on the first example ({item.place}) given its own labels"
        raise ConfigError(f"`{metric.name}` {where}: {type(error).__name__}: {error}", key=key) from error


def _try_program(program: dspy.Module, item: Item, request: OptimizationRequest, closed: MeteredLM) -> None:
    """The program must get as far as its first LM call on the first example."""
    example = to_examples([item], request.dataset.inputs)[0]
    copy = program.deepcopy()
    for predictor in copy.predictors():
        predictor.lm = closed if predictor.lm is not None else None
    try:
        copy(**example.inputs())
    except RunStop:
        return
    except (Exception, SystemExit) as error:
        key = "program.import" if request.program.import_ else "program"
        where = f"raises on the first example ({item.place}) before any LM call"
        raise ConfigError(f"{where}: {type(error).__name__}: {error}", key=key) from error
