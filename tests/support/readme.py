"""The parts of the README that are generated from the program, so that they are never out of date.

`make readme` writes them, `make lint` checks them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import typer
from typer.main import get_command


def help_of(*words: str) -> str:
    """What a command prints with --help, as a block of text in Markdown."""
    plain = {"COLUMNS": "100", "TYPER_USE_RICH": "0", "NO_COLOR": "1"}
    done = subprocess.run(
        [Path(sys.executable).with_name("dspytrack"), *words, "--help"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | plain,
    )
    lines = [line.rstrip() for line in done.stdout.strip().splitlines()]
    return "\n".join(["```text", *lines, "```"])


def commands() -> str:
    """Every command with the first sentence of its help, as a table in Markdown."""
    from dspytrack.cli.main import app

    rows = [f"| `{name}` | {sentence} |" for name, sentence in _commands(get_command(app), "dspytrack")]
    return "\n".join(["| command | does |", "| --- | --- |", *rows])


def _commands(command: typer.core.TyperCommand | typer.core.TyperGroup, path: str) -> Iterator[tuple[str, str]]:
    found = getattr(command, "commands", None)
    if found is None:
        yield path, (command.help or "").strip().splitlines()[0]
        return
    for name, inner in found.items():
        yield from _commands(inner, f"{path} {name}")
