"""A request with everything it names loaded and checked: the last place where a mistake costs nothing."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dspy

from dspytrack.config.schema import LM, OptimizationRequest
from dspytrack.data.dataset import Item, to_example, to_examples
from dspytrack.data.splits import Splits, load_splits
from dspytrack.errors import ConfigError, RunStop, did_you_mean
from dspytrack.lm.build import adapter_for, as_role, build_lm, is_price_known
from dspytrack.lm.metering.canary import check_metering
from dspytrack.lm.metering.dspy_hooks import metering
from dspytrack.lm.metering.meter import Meter
from dspytrack.lm.metering.scope import label_of, labelled
from dspytrack.metrics.metric import ScoredMetric, build_metric, check_field
from dspytrack.metrics.preflight import check_metric
from dspytrack.optimizers.protocol import Inputs, Optimizer
from dspytrack.optimizers.registry import configure
from dspytrack.programs.build import TAKEN_IN_CALLS, build_program, output_fields
from dspytrack.results.roles import JUDGE, OPTIMIZER_ROLES


@dataclass(frozen=True)
class Plan:
    """A run, ready to start; `warnings` are what its user should know before."""

    request: OptimizationRequest
    program: dspy.Module
    splits: Splits
    metric: ScoredMetric
    lms: Mapping[str, dspy.LM]
    meter: Meter
    adapter: dspy.Adapter | None
    inputs: Inputs
    optimizers: Sequence[Optimizer]
    warnings: Sequence[str] = ()


def make_plan(request: OptimizationRequest, training_data: Sequence[Mapping[str, Any]] | None = None) -> Plan:
    """Load and check everything a request names; no LM call is made.

    Raises:
        ConfigError: for the first thing that is wrong, with its key.
    """
    check_metering()
    splits = load_splits(request.dataset, request.base_dir, request.seed, training_data)
    program = build_program(request.program, request.base_dir)
    _check_inputs(request, program, splits.train[0].place)
    _label_own_lms(program)
    lms = _build_lms(request)
    judge = _built(request, request.metric.lm, JUDGE.name, JUDGE.key) if request.metric.lm else None
    metric = build_metric(request.metric, request.base_dir, judge)
    outputs = output_fields(program) if request.program.import_ is None else None
    check_field(request.metric, outputs, [*splits.train, *splits.val, *splits.test])
    inputs, predictors = _inputs(request, splits, metric, lms), len(program.predictors())
    many = len(request.optimizer) > 1
    optimizers = [
        configure(spec, inputs, predictors, f"optimizer.{index}" if many else "optimizer")
        for index, spec in enumerate(request.optimizer)
    ]
    _check_call_cap(request, len(splits.test) * request.evaluation.repeats * _fewest_calls(request, predictors))
    if request.constraints.max_cost_usd is not None:
        _check_prices(request, program, lms, judge)
    adapter = adapter_for(request.lm)
    warnings: list[str] = []
    with _no_calls(lms["task"], adapter):
        if request.metric.name != "llm_judge":
            warnings += _try_metric(metric, program, splits.train[0], request)
        _try_program(program, splits.train[0], request)
    meter = Meter(request.constraints, request.evaluation.max_consecutive_failures)
    return Plan(request, program, splits, metric, lms, meter, adapter, inputs, optimizers, warnings)


def _inputs(request: OptimizationRequest, splits: Splits, metric: ScoredMetric, lms: Mapping[str, dspy.LM]) -> Inputs:
    """What the optimizers are given: nothing of the test split."""
    return Inputs(
        trainset=to_examples(splits.train, request.dataset.inputs),
        valset=to_examples(splits.val, request.dataset.inputs) or None,
        metric=metric,
        task_lm=lms["task"],
        teacher_lm=lms["teacher"],
        prompt_lm=lms["prompt"],
        reflection_lm=lms["reflection"],
        num_threads=request.evaluation.num_threads,
        seed=request.seed,
    )


def _build_lms(request: OptimizationRequest) -> dict[str, dspy.LM]:
    task = _built(request, request.lm, "task", "lm")
    lms = {"task": task}
    for role, key, *_ in OPTIMIZER_ROLES:
        spec = getattr(request, key)
        lms[role] = as_role(task, role) if spec is None else _built(request, spec, role, key)
    return lms


def _built(request: OptimizationRequest, spec: LM, role: str, key: str) -> dspy.LM:
    """An LM of the request; a model file's relative path starts beside the config file."""
    if spec.path is not None:
        spec = spec.model_copy(update={"path": str(request.base_dir / spec.path)})
    return build_lm(spec, role=role, key=key)


def _label_own_lms(program: dspy.Module) -> None:
    """Calls of the LMs that a program sets on its predictors are counted by the role of the run's task LM."""
    for predictor in program.predictors():
        if predictor.lm is not None:
            predictor.lm = labelled(predictor.lm.copy(), replace(label_of(predictor.lm), role="task"))


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
    request: OptimizationRequest, program: dspy.Module, lms: Mapping[str, dspy.LM], judge: dspy.LM | None
) -> None:
    """Money can only be capped where prices are known."""
    used = [("lm" if getattr(request, f"{role}_lm", None) is None else f"{role}_lm", lm) for role, lm in lms.items()]
    used += [("metric.lm", judge)] if judge is not None else []
    used += [("program.import", one.lm) for one in program.predictors() if one.lm is not None]
    for key, lm in used:
        if not is_price_known(lm):
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
def _no_calls(lm: dspy.LM, adapter: dspy.Adapter | None) -> Iterator[None]:
    """Every LM call inside ends what makes it: a check gets as far as its first call."""
    closed = Meter()
    closed.stop("preflight", "no call is made while a run is being checked")
    with (
        TemporaryDirectory() as folder,
        metering(Path(folder) / "responses.jsonl", closed),
        dspy.context(lm=lm, adapter=adapter),
    ):
        yield


def _try_metric(metric: ScoredMetric, program: dspy.Module, item: Item, request: OptimizationRequest) -> Iterator[str]:
    """The metric must score the first example's labels, or ask an LM about them; a warning where it may be right."""
    example = to_example(item, request.dataset.inputs)
    try:
        fault = check_metric(metric, program, example, imported=request.program.import_ is not None)
    except RunStop:
        return
    if fault is None:
        return
    where = f"raises on the first example ({item.place}) given its own labels"
    said = f"`{metric.name}` {where}: {type(fault.error).__name__}: {fault.error}"
    if fault.is_certain:
        raise ConfigError(said, key="metric.import" if request.metric.import_ else "metric") from fault.error
    yield f"{said}; that is a mistake unless it reads what only the program's own prediction has"


def _try_program(program: dspy.Module, item: Item, request: OptimizationRequest) -> None:
    """The program must get as far as its first LM call on the first example."""
    example = to_example(item, request.dataset.inputs)
    try:
        program.deepcopy()(**example.inputs())
    except RunStop:
        return
    except (Exception, SystemExit) as error:
        key = "program.import" if request.program.import_ else "program"
        where = f"raises on the first example ({item.place}) before any LM call"
        raise ConfigError(f"{where}: {type(error).__name__}: {error}", key=key) from error
