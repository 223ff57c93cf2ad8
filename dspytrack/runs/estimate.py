"""What a run will take, phase by phase, before it starts: LM calls from the plan, the rest from a probe.

Owns the estimate of a run; how many calls a search makes is known to each optimizer's own file.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import dspy

from dspytrack.errors import RunStop
from dspytrack.evaluation.evaluate import evaluate
from dspytrack.lm.metering.dspy_hooks import metering
from dspytrack.optimizers.protocol import Optimizer, Range, SearchCalls
from dspytrack.runs.plan import Plan, judge_calls


@dataclass(frozen=True)
class Probe:
    """Means of one program call and its scoring: LM calls, tokens, USD, wall seconds; and how many calls were billed.

    Tokens and USD are None where unknown.
    """

    examples: int
    lm_calls: float
    tokens: float | None
    cost_usd: float | None
    seconds: float
    billed: int


@dataclass(frozen=True)
class PhaseEstimate:
    """One phase: LM calls, tokens, USD and seconds, each None where it cannot be known."""

    phase: str
    lm_calls: Range | None = None
    tokens: Range | None = None
    cost_usd: Range | None = None
    seconds: Range | None = None


def estimate(plan: Plan, probe: Probe | None = None) -> list[PhaseEstimate]:
    """The phases of a run.

    Args:
        plan: of the run.
        probe: what one program call takes; without it, one LM call for each predictor, and the rest is unknown.
    """
    tests = len(plan.splits.test) * plan.request.evaluation.repeats
    scoring = SearchCalls(Range(tests, tests))
    searches = [(f"optimization: {one.name}", _search_calls(plan, one)) for one in plan.optimizers]
    phases = [("baseline", scoring), *searches, ("optimized", scoring)]
    return [_phase(name, calls, plan, probe) for name, calls in phases]


def _search_calls(plan: Plan, optimizer: Optimizer) -> SearchCalls | None:
    """Calls of a search and, where optimizers compete, of the scoring of the program that it ends with.

    The scoring may cost nothing: the run's cache answers what the search has asked before.
    """
    calls = optimizer.calls()
    if calls is None or len(plan.optimizers) == 1:
        return calls
    program = calls.program
    return calls._replace(program=Range(program.least, program.most + optimizer.sizes.validation))


def _phase(name: str, calls: SearchCalls | None, plan: Plan, probe: Probe | None) -> PhaseEstimate:
    """An optimizer's own LM calls count as calls only: a probe of the program does not show what they take."""
    if calls is None:
        return PhaseEstimate(name)
    program, own = calls
    predictors = max(1, len(plan.program.predictors()))
    each = float(predictors + judge_calls(plan.request)) if probe is None else probe.lm_calls
    lm_calls = Range(program.least * each + own.least, program.most * each + own.most)
    if probe is None:
        return PhaseEstimate(name, lm_calls)
    return PhaseEstimate(
        name,
        lm_calls,
        tokens=_times(program, probe.tokens),
        cost_usd=_times(program, probe.cost_usd),
        seconds=Range(
            program.least * probe.seconds / plan.request.evaluation.num_threads, program.most * probe.seconds
        ),
    )


def _times(calls: Range, each: float | None) -> Range | None:
    return None if each is None else Range(calls.least * each, calls.most * each)


def run_probe(plan: Plan, examples: int) -> Probe:
    """Run the program on the first train examples for real: these calls are billed, and belong to no run.

    Args:
        plan: of the run.
        examples: how many, at most.

    Raises:
        RunStop: where the LM refuses or cannot be reached.
    """
    items = plan.splits.train[:examples]
    with (
        tempfile.TemporaryDirectory() as folder,
        metering(Path(folder) / "responses.jsonl", plan.meter),
        dspy.context(lm=plan.lms["task"], adapter=plan.adapter),
    ):
        rows = evaluate(plan.program, items, plan.request.dataset.inputs, plan.metric, num_threads=1, namespace="probe")
    answered = [row.latency_ms for row in rows if row.latency_ms is not None]
    used, count = plan.meter.total, len(answered)
    if not answered:
        raise RunStop("unreachable", f"none of the {examples} examples was answered: {rows[0].error}")
    return Probe(
        examples=count,
        lm_calls=used.calls / count,
        tokens=None if used.unreported else used.tokens / count,
        cost_usd=None if used.cost_usd is None else used.cost_usd / count,
        seconds=sum(answered) / count / 1000,
        billed=used.calls,
    )
