"""What a run will take, phase by phase, before it starts: LM calls from the plan, the rest from a probe.

A range is [least, most]; None is what cannot be known beforehand.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import dspy

from dspytrack.errors import RunStop
from dspytrack.evaluation.evaluate import evaluate
from dspytrack.lm.metering.dspy_hooks import metering
from dspytrack.optimizers.registry import Prepared
from dspytrack.runs.plan import Plan, judge_calls

Range = tuple[float, float]


@dataclass(frozen=True)
class Probe:
    """Means of one program call and its scoring: LM calls, tokens, USD, wall seconds; and what was billed.

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
    """One phase: LM calls, tokens, USD and seconds, each a range or None."""

    phase: str
    lm_calls: Range | None
    tokens: Range | None = None
    cost_usd: Range | None = None
    seconds: Range | None = None


def estimate(plan: Plan, probe: Probe | None = None) -> list[PhaseEstimate]:
    """The phases of a run; without a probe one LM call a predictor and example is taken and the rest is unknown."""
    request = plan.request
    test = float(len(plan.splits.test) * request.evaluation.repeats)
    phases: list[tuple[str, Range | None]] = [("baseline", (test, test))]
    for one in plan.optimizers:
        phases.append((f"optimization: {one.name}", _searched(plan, one)))
    phases.append(("optimized", (test, test)))
    each = probe.lm_calls if probe else float(max(1, plan.sizes.predictors) + judge_calls(request))
    threads = request.evaluation.num_threads
    found = []
    for phase, calls in phases:
        lm_calls = _times(calls, each)
        if probe is None:
            found.append(PhaseEstimate(phase, lm_calls))
            continue
        cost = None if probe.cost_usd is None else _times(calls, probe.cost_usd)
        seconds = None if calls is None else (calls[0] * probe.seconds / threads, calls[1] * probe.seconds)
        tokens = None if probe.tokens is None else _times(calls, probe.tokens)
        found.append(PhaseEstimate(phase, lm_calls, tokens, cost, seconds))
    return found


def _searched(plan: Plan, optimizer: Prepared) -> Range | None:
    """Program calls of an optimizer, and where it competes with others those that score what it ends with.

    At least none of the latter are billed: what the run has asked before is answered from its cache.
    """
    calls = optimizer.row.estimate(plan.sizes, optimizer.arguments)
    if calls is None or len(plan.optimizers) == 1:
        return calls
    return calls[0], calls[1] + len(plan.splits.val or plan.splits.train)


def run_probe(plan: Plan, examples: int) -> Probe:
    """Run the program on a few train examples for real: these calls are billed and belong to no run.

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
    done = [row for row in rows if row.latency_ms is not None]
    used, count = plan.meter.total, len(done)
    if not done:
        raise RunStop("unreachable", f"none of the {examples} examples was answered: {rows[0].error}")
    return Probe(
        examples=count,
        lm_calls=used.calls / count,
        tokens=None if used.untold else used.tokens / count,
        cost_usd=None if used.cost_usd is None else used.cost_usd / count,
        seconds=sum(row.latency_ms or 0.0 for row in done) / count / 1000,
        billed=used.calls,
    )


def _times(calls: Range | None, each: float) -> Range | None:
    return None if calls is None else (calls[0] * each, calls[1] * each)
