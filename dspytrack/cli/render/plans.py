"""Prints what a run would do and take, before anything is spent.

Owns the words and the JSON of `optimize --dry-run`; the figures are `runs/estimate.py`'s.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, TextIO

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from dspytrack.results.catalogue import usd

if TYPE_CHECKING:
    from dspytrack.optimizers.protocol import Range
    from dspytrack.runs.estimate import PhaseEstimate, Probe
    from dspytrack.runs.plan import Plan


def print_plan(plan: Plan, phases: list[PhaseEstimate], probe: Probe | None, as_json: bool, out: TextIO) -> None:
    """Show the splits, the optimizers and each phase's LM calls; with a probe tokens, cost and time too."""
    splits = {name: len(getattr(plan.splits, name)) for name in ("train", "val", "test")}
    if as_json:
        optimizers = [
            {"name": one.name, "params": one.arguments, "deterministic": one.deterministic} for one in plan.optimizers
        ]
        document = {
            "examples": splits,
            "fingerprint": plan.splits.fingerprint,
            "optimizers": optimizers,
            "phases": [asdict(one) for one in phases],
            "probe": asdict(probe) if probe else None,
            "warnings": list(plan.warnings),
        }
        typer.echo(json.dumps(document, indent=2, default=str), file=out)
        return
    console = Console(file=out, highlight=False)
    console.print("examples: " + ", ".join(f"{count} {name}" for name, count in splits.items()))
    console.print(_table(phases, probe is not None))
    for one in plan.optimizers:
        if one.deterministic is not True:
            console.print(f"{one.name}: {one.deterministic}", markup=False)
    for warning in plan.warnings:
        console.print(f"warning: {warning}", markup=False, soft_wrap=True)
    if probe is None:
        console.print("Nothing was called. --probe 3 runs three examples to estimate tokens, cost and time.")
    else:
        console.print(
            f"From {probe.examples} examples of the program as it is ({probe.billed} billed calls). Expect more "
            "tokens, cost and time: prompts grow with demos and instructions, and an optimizer's own LM calls are left "
            "out."
        )
    console.print("next: leave out --dry-run to start")


def _table(phases: list[PhaseEstimate], probed: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("phase")
    for name in ("LM calls", *(("tokens", "cost", "time") if probed else ())):
        table.add_column(name, justify="right")
    for one in phases:
        cells = [_range(one.lm_calls, "{:,.0f}".format)]
        if probed:
            cells += [
                _range(one.tokens, "{:,.0f}".format),
                _range(one.cost_usd, usd),
                _range(one.seconds, _time),
            ]
        table.add_row(one.phase, *cells)
    return table


def _range(found: Range | None, shown: Callable[[float], str]) -> str:
    if found is None:
        return "unknown"
    least, most = shown(found.least), shown(found.most)
    return least if least == most else f"{least} to {most}"


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
