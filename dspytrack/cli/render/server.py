"""Prints a server and what was done with it: tables and sentences for people, one JSON document for machines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer
from rich import box
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

if TYPE_CHECKING:
    from dspytrack.server.backend import OnProgress, ServerStatus
    from dspytrack.server.compose.upgrade import Upgrade
    from dspytrack.server.manifests import Manifests


@contextmanager
def progress_line() -> Iterator[OnProgress]:
    """On a terminal, one line that says what is being done; without one, a line for each new step."""
    console = Console(stderr=True, highlight=False)
    if console.is_terminal:
        with console.status("starting") as line:
            yield line.update
        return
    printed: set[str] = set()

    def print_new(message: str) -> None:
        if message not in printed:
            printed.add(message)
            console.print(message, markup=False)

    yield print_new


def print_done(document: Mapping[str, Any], sentence: str, as_json: bool, then: str, notes: Iterable[str] = ()) -> None:
    """Print what was done, as a document or a sentence; notes and what to type next go to stderr."""
    typer.echo(json.dumps(document, indent=2) if as_json else sentence)
    for note in notes:
        typer.echo(f"note: {note}", err=True)
    typer.echo(f"next: {then}", err=True)


def print_upgrade(done: Upgrade, as_json: bool) -> None:
    """Print an upgrade, or that there was nothing to upgrade."""
    sentence = f"MLflow {done.before} -> {done.after}; a backup of the data before: {done.backup}"
    if done.backup is None:
        sentence = f"the server already runs MLflow {done.after}"
    document = done._asdict() | {"backup": str(done.backup) if done.backup else None}
    print_done(document, sentence, as_json, "dspytrack server status")


def print_manifests(written: Manifests) -> None:
    """Print the files that were written, one a line; the command that uses them goes to stderr."""
    for file in written.files:
        typer.echo(str(file))
    typer.echo(f"next: {written.next_command}", err=True)


def print_status(found: ServerStatus, as_json: bool, then: str) -> None:
    """Print the state of a server; notes and what to type next go to stderr."""
    if as_json:
        typer.echo(json.dumps(found.as_document(), indent=2))
    elif found.running:
        _print_running(found)
    else:
        typer.echo("the server is down")
    for note in found.notes:
        typer.echo(f"note: {note}", err=True)
    typer.echo(f"next: {then}", err=True)


def _print_running(found: ServerStatus) -> None:
    console = Console(highlight=False)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("service", "state", "health"):
        table.add_column(name, no_wrap=True)
    table.add_column("image", overflow="fold")
    table.add_column("data", justify="right", no_wrap=True)
    for service in found.services:
        size = "" if service.volume_bytes is None else decimal(service.volume_bytes)
        table.add_row(service.name, service.state, service.health, service.image, size)
    console.print(table)
    runs = "" if found.runs is None else f" · {found.runs} run{'' if found.runs == 1 else 's'}"
    console.print(f"MLflow {found.version or 'does not answer'} (client {found.client_version}){runs}", markup=False)
    console.print(f"artifacts in {found.artifacts}", markup=False, soft_wrap=True)
    login = "with the login in the env file" if found.auth else "without a login"
    console.print(f"{found.address}, {login}", markup=False, soft_wrap=True)
