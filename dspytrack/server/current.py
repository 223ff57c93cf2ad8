"""The server of a folder, however it runs: its env file names the backend (MLFLOW_SERVER_KIND)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from dspytrack.errors import UnreachableError, UsageError
from dspytrack.server.backend import Backend, OnProgress, ServerStatus
from dspytrack.server.compose import backend as compose
from dspytrack.server.local import backend as local
from dspytrack.server.settings import Kind, ServerOptions, saved_kind, started_kind

BACKENDS: Mapping[Kind, Backend] = {"compose": compose, "local": local}


def up(options: ServerOptions, kind: Kind | None, progress: OnProgress) -> ServerStatus:
    """Start a server of a kind; None is the kind it was before, else compose.

    Raises:
        UsageError: where this folder's server of the other kind runs, or for options that do not fit.
        UnreachableError: where it cannot be started.
    """
    before = saved_kind(options.env_file)
    kind = kind or before or "compose"
    if before not in (None, kind) and _is_healthy(options.env_file):
        raise UsageError(f"a {before} server runs for this folder; stop it first: dspytrack server down")
    found = BACKENDS[kind].up(options, progress)
    if before in (None, kind):
        return found
    note = f"the {before} server's runs stay where they are: dspytrack server down, then up --{before}"
    return replace(found, notes=(*found.notes, note))


def down(env_file: Path, delete_data: bool = False) -> tuple[str, ...]:
    """Stop this folder's server.

    Returns:
        What is still there or still runs, as notes for the user.

    Raises:
        NotFoundError: where none was started.
        UnreachableError: where it cannot be stopped.
    """
    return BACKENDS[started_kind(env_file)].down(env_file, delete_data)


def status(env_file: Path) -> ServerStatus:
    """The state of this folder's server.

    Raises:
        NotFoundError: where none was started.
        UnreachableError: where Docker does not answer.
    """
    return BACKENDS[started_kind(env_file)].status(env_file)


def logs(env_file: Path, service: str | None = None, follow: bool = False) -> Iterator[str]:
    """The log of this folder's server.

    Raises:
        NotFoundError, UsageError: where none was started, for an unknown service, or where there is no log.
        UnreachableError: where Docker does not answer.
    """
    return BACKENDS[started_kind(env_file)].logs(env_file, service, follow)


def _is_healthy(env_file: Path) -> bool:
    """Whether this folder's server runs; with a Docker that does not answer, it does not."""
    try:
        return status(env_file).healthy
    except UnreachableError:
        return False
