"""`dspytrack doctor`: what is wrong around a run, and what mends it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dspytrack.cli.options import EnvFile, Json

if TYPE_CHECKING:
    from dspytrack.doctor.check import Check

_SHOWN = {"pass": ("pass", "green"), "fail": ("FAIL", "bold red"), "skipped": ("skip", "dim")}


def doctor(
    lm: Annotated[
        Path | None, typer.Option("--lm", metavar="CONFIG", help="Try its LMs, too: one tiny real call each.")
    ] = None,
    as_json: Json = False,
    env_file: EnvFile = None,
) -> None:
    """Look at everything that can be wrong; each fault with what mends it. Exit code 6 where there is one."""
    from dspytrack.doctor.check import Place
    from dspytrack.doctor.examination import examine

    checks = list(examine(Place.found(env_file, lm)))
    if as_json:
        typer.echo(json.dumps({"checks": [asdict(check) for check in checks]}, indent=2))
    else:
        _print(checks)
    if any(check.status == "fail" for check in checks):
        raise typer.Exit(6)


def _print(checks: list[Check]) -> None:
    """A table, then what to do, each on a line that can be copied."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    table.add_column("check", max_width=24, overflow="fold")
    table.add_column("found", overflow="fold")
    for check in checks:
        table.add_row(Text(*_SHOWN[check.status]), Text(check.name), Text(check.detail))
    console.print(table)
    ill = [check for check in checks if check.status == "fail"]
    for check in ill:
        console.print(f"{check.name}: {check.mend}", markup=False, soft_wrap=True)
    looked = sum(check.status != "skipped" for check in checks)
    console.print(f"{len(ill)} of {looked} checks failed" if ill else f"all {looked} checks passed")
    console.print("next: dspytrack doctor, again" if ill else "next: dspytrack optimize config.yaml")
