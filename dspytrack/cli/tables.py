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
from rich.table import Table

from dspytrack.cli.options import Format
from dspytrack.cli.values import format_value

_SHORT = {
    "improvement_percentage": "improved",
    "statistical_significance": "p-value",
    "optimized_success_rate": "success rate",
    "duration_seconds": "duration",
}


def print_runs(documents: Sequence[dict[str, Any]], columns: Sequence[str], form: Format) -> None:
    """Print runs in the form asked for; numbers keep all their digits except where people read them."""
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
    else:
        _table(documents, cells, columns)


def _table(documents: Sequence[dict[str, Any]], cells: list[list[Any]], columns: Sequence[str]) -> None:
    console = Console(highlight=False)
    if not documents:
        console.print("no runs; `dspytrack optimize config.yaml` makes one")
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("run id", no_wrap=True)
    table.add_column("outcome", min_width=8)
    for name in columns:
        table.add_column(_SHORT.get(name, name), justify="right", overflow="fold")
    for run_id, status, verdict, *figures in _shown(cells, columns):
        table.add_row(run_id, verdict if status == "completed" and verdict else status, *figures)
    console.print(table)
    for document in documents:
        if "resume" in document:
            console.print(f"interrupted: {document['resume']}", markup=False, soft_wrap=True)
    console.print(f"next: dspytrack runs show {documents[0]['run_id']}")


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
