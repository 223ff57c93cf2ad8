"""Prints a server and what was done with it: tables and sentences for people, one JSON document for machines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from dspytrack.server.status import ServerStatus


def print_done(document: Mapping[str, Any], sentence: str, as_json: bool, then: str, notes: Iterable[str] = ()) -> None:
    """What was done, as a document or a sentence; notes and what to type next go to stderr."""
    typer.echo(json.dumps(document, indent=2) if as_json else sentence)
    for note in notes:
        typer.echo(f"note: {note}", err=True)
    typer.echo(f"next: {then}", err=True)


def print_status(found: ServerStatus, as_json: bool, then: str) -> None:
    """How a server does; notes and what to type next go to stderr."""
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
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("service", "state", "health"):
        table.add_column(name, no_wrap=True)
    table.add_column("image", overflow="fold")
    table.add_column("data", justify="right", no_wrap=True)
    for service in found.services:
        size = "" if service.volume_bytes is None else f"{service.volume_bytes / 1e6:.1f} MB"
        table.add_row(service.name, service.state, service.health, service.image, size)
    console.print(table)
    runs = "" if found.runs is None else f" · {found.runs} run{'' if found.runs == 1 else 's'}"
    console.print(f"MLflow {found.version or 'does not answer'} (client {found.client_version}){runs}", markup=False)
    console.print(f"artifacts in {found.artifacts}", markup=False, soft_wrap=True)
    login = "the login in the env file" if found.auth else "without a login"
    console.print(f"{found.address}, {login}", markup=False, soft_wrap=True)
