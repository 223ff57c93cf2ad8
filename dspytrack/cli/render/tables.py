"""Runs as a table, CSV, Markdown or JSON."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from textwrap import fill
from typing import Any

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dspytrack.cli.options import Format
from dspytrack.results.catalogue import format_value, table_head

_OUTCOME_WIDTH = len("no difference")  # the longest that is not to be broken, with "inconclusive"
_GAP = 2  # between two columns


def print_runs(
    documents: Sequence[dict[str, Any]], columns: Sequence[str], form: Format, nothing: str = "no runs"
) -> None:
    """Print runs in the form asked for; numbers keep all their digits except where people read them.

    Args:
        documents: the runs.
        columns: metrics to show.
        form: how.
        nothing: what people read where there are none.
    """
    if form is Format.json:
        typer.echo(json.dumps(list(documents), indent=2, allow_nan=False))
        return
    cells = [[*_head(document), *[_metric(document, name) for name in columns]] for document in documents]
    if form is Format.csv:
        writer = csv.writer(sys.stdout)
        writer.writerow(["run_id", "status", "verdict", *columns])
        writer.writerows([["" if cell is None else cell for cell in row] for row in cells])
    elif form is Format.md:
        typer.echo("| " + " | ".join(["run_id", "status", "verdict", *columns]) + " |")
        typer.echo("| " + " | ".join(["---"] * (3 + len(columns))) + " |")
        for row in _shown(cells, columns):
            typer.echo("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
    elif documents:
        _table(documents, cells, columns)
    else:
        Console().print(nothing, markup=False, highlight=False, soft_wrap=True)


def _table(documents: Sequence[dict[str, Any]], cells: list[list[Any]], columns: Sequence[str]) -> None:
    console = Console(highlight=False)
    rows = _shown(cells, columns)
    outcomes = [_outcome(document, *row[1:3]) for document, row in zip(documents, rows, strict=True)]
    heads = [escape(table_head(name)) for name in columns]
    widths = [max(map(len, [*head.split(), *(row[3 + i] for row in rows)])) for i, head in enumerate(heads)]
    room = console.width - 2 - max(len(row[0]) for row in rows) - sum(width + _GAP for width in widths)
    beside = room >= _OUTCOME_WIDTH + _GAP  # else below the id: neither ids nor numbers are broken
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("run id", no_wrap=True)
    if beside:
        table.add_column("outcome", min_width=_OUTCOME_WIDTH)
    for head, width in zip(heads, widths, strict=True):
        table.add_column(fill(head, width), justify="right", min_width=width)
    for outcome, row in zip(outcomes, rows, strict=True):
        table.add_row(*([row[0], outcome] if beside else [f"{row[0]}\n{outcome}"]), *row[3:])
    console.print(table, width=console.width - min(room, 0), crop=False)
    _print_ways_on(console, documents)


def _print_ways_on(console: Console, documents: Sequence[dict[str, Any]]) -> None:
    for document in documents:
        if "resume" in document:
            status = document["tags"].get("status", "unfinished").replace("_", " ")
            console.print(f"{status}: {document['resume']}", markup=False, soft_wrap=True)
    for command in dict.fromkeys(one["unsent"] for one in documents if "unsent" in one):
        console.print(f"unsent: {command}", markup=False, soft_wrap=True)
    console.print(f"next: dspytrack runs show {documents[0]['run_id']}", markup=False, soft_wrap=True)


def _outcome(document: dict[str, Any], status: str, verdict: str) -> str:
    outcome = verdict if status == "completed" and verdict else status.replace("_", " ")
    return escape(f"{outcome}{' (unsent)' if 'unsent' in document else ''}")


def _head(document: dict[str, Any]) -> list[Any]:
    tags = document["tags"]
    return [document["run_id"], tags.get("status", document["status"].lower()), tags.get("verdict")]


def _metric(document: dict[str, Any], name: str) -> float | None:
    value: float | None = document["metrics"].get(name)
    return value


def _shown(cells: list[list[Any]], columns: Sequence[str]) -> list[list[str]]:
    return [
        [*[cell or "" for cell in row[:3]], *[format_value(n, v) for n, v in zip(columns, row[3:], strict=True)]]
        for row in cells
    ]
