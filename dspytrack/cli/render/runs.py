"""Prints one run in full."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from dspytrack.cli.render.next_commands import predict_command
from dspytrack.results.catalogue import MEASURES, SIDES, format_value


def print_run(document: dict[str, Any]) -> None:
    """Verdict first, then baseline beside optimized, then every other figure."""
    console, metrics, tags = Console(highlight=False), dict(document["metrics"]), document["tags"]
    status = tags.get("status", document["status"].lower())
    console.print(Text.assemble((str(document["run_name"]), "bold"), f" · {document['run_id']} · {status}"))
    if "verdict" in tags:
        console.print(f"{tags['verdict']}: {tags.get('verdict_reason', '')}", markup=False)
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
    for command in _next_commands(document):
        console.print(f"next: {command}", markup=False, soft_wrap=True)


def _next_commands(document: dict[str, Any]) -> list[str]:
    """How the run goes on or, where it has a program, how that is got at."""
    if "resume" in document:
        return [document["resume"]]
    found = [document["unsent"]] if "unsent" in document else []
    if document.get("model") is not None:
        return [*found, predict_command(document["model"])]
    return [*found, f"dspytrack model pull {document['run_id']} -o model/"] if "verdict" in document["tags"] else found
