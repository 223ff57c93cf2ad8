"""Runs as a table, CSV, Markdown or JSON."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from typing import Any

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dspytrack.cli.options import Format
from dspytrack.cli.values import format_value

_OUTCOME_WIDTH = len("no difference")  # the longest that is not to be broken, with "inconclusive"
_SHORT = {
    "improvement_percentage": "improved",
    "statistical_significance": "p-value",
    "optimized_success_rate": "success",
    "duration_seconds": "duration",
}


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
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("run id", no_wrap=True)
    table.add_column("outcome", min_width=_OUTCOME_WIDTH)
    for name in columns:
        table.add_column(escape(_SHORT.get(name, name)), justify="right", overflow="fold")
    for document, (run_id, status, verdict, *figures) in zip(documents, _shown(cells, columns), strict=True):
        outcome = verdict if status == "completed" and verdict else status.replace("_", " ")
        table.add_row(run_id, escape(f"{outcome}{' (unsent)' if 'unsent' in document else ''}"), *figures)
    console.print(table)
    for document in documents:
        if "resume" in document:
            status = document["tags"].get("status", "unfinished").replace("_", " ")
            console.print(f"{status}: {document['resume']}", markup=False, soft_wrap=True)
    for command in dict.fromkeys(one["unsent"] for one in documents if "unsent" in one):
        console.print(f"unsent: {command}", markup=False, soft_wrap=True)
    console.print(f"next: dspytrack runs show {documents[0]['run_id']}", markup=False, soft_wrap=True)


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
