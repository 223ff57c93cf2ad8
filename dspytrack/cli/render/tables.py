"""Runs as a table, CSV, Markdown or JSON."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dspytrack.cli.options import Format
from dspytrack.results.catalogue import format_value, table_head

if TYPE_CHECKING:
    from dspytrack.tracking.run_view import RunView

_OUTCOME_WIDTH = len("no difference")  # the longest text of an outcome that is kept in one line
_GAP = 2  # between two columns
_HEADS = ("run_id", "status", "verdict")


def print_runs(runs: Sequence[RunView], columns: Sequence[str], form: Format, nothing: str = "no runs") -> None:
    """Print runs in a form; numbers keep all their digits except where people read them.

    Args:
        runs: to print.
        columns: metrics to show.
        form: of the output.
        nothing: what people read where there are no runs.
    """
    if form == "json":
        typer.echo(json.dumps([run.to_json() for run in runs], indent=2, allow_nan=False))
        return
    cells = [[*_head(run), *[run.metrics.get(name) for name in columns]] for run in runs]
    if form == "csv":
        writer = csv.writer(sys.stdout)
        writer.writerow([*_HEADS, *columns])
        writer.writerows([["" if cell is None else cell for cell in row] for row in cells])
    elif form == "md":
        typer.echo("| " + " | ".join([*_HEADS, *columns]) + " |")
        typer.echo("| " + " | ".join(["---"] * (len(_HEADS) + len(columns))) + " |")
        for row in _shown(cells, columns):
            typer.echo("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
    elif runs:
        _print_table(runs, cells, columns)
    else:
        Console().print(nothing, markup=False, highlight=False, soft_wrap=True)


def _print_table(runs: Sequence[RunView], cells: list[list[Any]], columns: Sequence[str]) -> None:
    console = Console(highlight=False)
    rows = _shown(cells, columns)
    outcomes = [_outcome(run, *row[1:3]) for run, row in zip(runs, rows, strict=True)]
    heads = [table_head(name) for name in columns]
    widths = [max(map(len, [*head.split(), *(row[3 + i] for row in rows)])) for i, head in enumerate(heads)]
    room = console.width - 2 - max(len(row[0]) for row in rows) - sum(width + _GAP for width in widths)
    beside = room >= _OUTCOME_WIDTH + _GAP  # else below the id: neither ids nor numbers are broken
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("run id", no_wrap=True)
    if beside:
        table.add_column("outcome", min_width=_OUTCOME_WIDTH)
    for head, width in zip(heads, widths, strict=True):
        table.add_column(escape(fill(head, width)), justify="right", min_width=width)
    for outcome, row in zip(outcomes, rows, strict=True):
        table.add_row(*([row[0], outcome] if beside else [f"{row[0]}\n{outcome}"]), *row[3:])
    console.print(table, width=console.width - min(room, 0), crop=False)
    _print_next_commands(console, runs)


def _print_next_commands(console: Console, runs: Sequence[RunView]) -> None:
    for run in runs:
        if run.resume is not None:
            console.print(f"{run.state.replace('_', ' ')}: {run.resume}", markup=False, soft_wrap=True)
    for command in dict.fromkeys(run.unsent for run in runs if run.unsent is not None):
        console.print(f"unsent: {command}", markup=False, soft_wrap=True)
    console.print(f"next: dspytrack runs show {runs[0].run_id}", markup=False, soft_wrap=True)


def _outcome(run: RunView, status: str, verdict: str) -> str:
    outcome = verdict if status == "completed" and verdict else status.replace("_", " ")
    return escape(f"{outcome}{'' if run.unsent is None else ' (unsent)'}")


def _head(run: RunView) -> list[Any]:
    return [run.run_id, run.state, run.verdict]


def _shown(cells: list[list[Any]], columns: Sequence[str]) -> list[list[str]]:
    return [
        [*[cell or "" for cell in row[:3]], *[format_value(n, v) for n, v in zip(columns, row[3:], strict=True)]]
        for row in cells
    ]
