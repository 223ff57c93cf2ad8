"""Prints what a run would do and take, before anything is spent."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, TextIO

import typer
from rich import box
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from dspytrack.runs.estimate import PhaseEstimate, Probe, Range
    from dspytrack.runs.plan import Plan


def print_plan(plan: Plan, phases: list[PhaseEstimate], probe: Probe | None, as_json: bool, answer: TextIO) -> None:
    """Show the splits, the optimizers and each phase's LM calls; with a probe tokens, cost and time too."""
    sizes = {name: len(getattr(plan.splits, name)) for name in ("train", "val", "test")}
    optimizers = [
        {"name": one.name, "params": one.arguments, "deterministic": one.row.deterministic} for one in plan.optimizers
    ]
    if as_json:
        document = {
            "examples": sizes,
            "fingerprint": plan.splits.fingerprint,
            "optimizers": optimizers,
            "phases": [asdict(one) for one in phases],
            "probe": asdict(probe) if probe else None,
        }
        typer.echo(json.dumps(document, indent=2, default=str), file=answer)
        return
    console = Console(file=answer, highlight=False)
    console.print("examples: " + ", ".join(f"{count} {name}" for name, count in sizes.items()))
    console.print(_table(phases, probe is not None))
    for one in plan.optimizers:
        if one.row.deterministic is not True:
            console.print(f"{one.name}: {one.row.deterministic}", markup=False)
    if probe is None:
        console.print("Nothing was called. --probe 3 runs three examples to estimate tokens, cost and time.")
    else:
        console.print(
            f"From {probe.examples} examples of the program as it is, {probe.billed} billed calls. Prompts grow with "
            "demos and instructions, and what an optimizer asks for itself is not in it: take it as a lower bound."
        )
    console.print("next: leave out --dry-run to start")


def _table(phases: list[PhaseEstimate], probed: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("phase")
    for name in ("LM calls", *(("tokens", "cost", "time") if probed else ())):
        table.add_column(name, justify="right")
    for one in phases:
        cells = [_span(one.lm_calls, "{:,.0f}".format)]
        if probed:
            cells += [
                _span(one.tokens, "{:,.0f}".format),
                _span(one.cost_usd, "${:.4f}".format),
                _span(one.seconds, _time),
            ]
        table.add_row(one.phase, *cells)
    return table


def _span(found: Range | None, form: Callable[[float], str]) -> str:
    if found is None:
        return "not known"
    least, most = form(found[0]), form(found[1])
    return least if least == most else f"{least} to {most}"


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
