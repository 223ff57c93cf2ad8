"""Prints checks: a table and the fixes for people, one JSON document for machines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dspytrack.doctor.check import Check

_SHOWN = {"pass": ("pass", "green"), "fail": ("FAIL", "bold red"), "skipped": ("skip", "dim")}


def print_checks(checks: Sequence[Check], as_json: bool) -> None:
    """Print a table, then each fix on a line that can be copied; or all of it as JSON."""
    if as_json:
        typer.echo(json.dumps({"checks": [asdict(check) for check in checks]}, indent=2))
        return
    console = Console(highlight=False)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    table.add_column("check", max_width=24, overflow="fold")
    table.add_column("found", overflow="fold")
    for check in checks:
        table.add_row(Text(*_SHOWN[check.status]), Text(check.name), Text(check.detail))
    console.print(table)
    failed = [check for check in checks if check.status == "fail"]
    for check in failed:
        console.print(f"{check.name}: {check.fix}", markup=False, soft_wrap=True)
    run = sum(check.status != "skipped" for check in checks)
    console.print(f"{len(failed)} of {run} checks failed" if failed else f"all {run} checks passed")
    console.print("next: dspytrack doctor, again" if failed else "next: dspytrack optimize config.yaml")
