"""Prints one run in full."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from dspytrack.cli.render.next_commands import predict_command
from dspytrack.results.catalogue import MEASURES, SIDES, format_value

if TYPE_CHECKING:
    from dspytrack.tracking.run_view import RunView


def print_run(run: RunView) -> None:
    """Print a run: the verdict, then baseline beside optimized, then every other metric."""
    console, metrics, tags = Console(highlight=False), dict(run.metrics), run.tags
    console.print(Text.assemble((str(run.run_name), "bold"), f" · {run.run_id} · {run.state}"))
    if run.verdict is not None:
        console.print(f"{run.verdict}: {tags.get('verdict_reason', '')}", markup=False)
    if "error" in tags:
        console.print(f"error: {tags['error']}", markup=False)
    pairs = Table("", *SIDES)
    for measure in MEASURES:
        values = {name: metrics.pop(name, None) for name in (f"{side}_{measure}" for side in SIDES)}
        if set(values.values()) != {None}:
            pairs.add_row(measure, *[format_value(name, value) or "unknown" for name, value in values.items()])
    if pairs.row_count:
        console.print(pairs)
    rest = Table("metric", "value")
    for name, value in sorted(metrics.items()):
        rest.add_row(escape(name), format_value(name, value))
    if rest.row_count:
        console.print(rest)
    for command in _next_commands(run):
        console.print(f"next: {command}", markup=False, soft_wrap=True)


def _next_commands(run: RunView) -> list[str]:
    """How to resume the run or, where it has a program, how to get that."""
    if run.resume is not None:
        return [run.resume]
    found = [] if run.unsent is None else [run.unsent]
    if run.model is not None:
        return [*found, predict_command(run.model)]
    return found if run.verdict is None else [*found, f"dspytrack model pull {run.run_id} -o model/"]
