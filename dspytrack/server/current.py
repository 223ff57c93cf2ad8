"""The server of a folder, whichever kind it is: its env file says so (MLFLOW_SERVER_KIND)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from dspytrack.errors import NotFoundError, UnreachableError, UsageError
from dspytrack.server import env_file as files
from dspytrack.server.compose import backend as compose
from dspytrack.server.local import backend as local
from dspytrack.server.settings import Wish, data_folder, resolve, without_secrets
from dspytrack.server.status import Progress, ServerStatus


def up(wish: Wish, kind: str | None, progress: Progress) -> ServerStatus:
    """Start a server of a kind: compose or local; None is the kind it was before, else compose.

    Raises:
        UsageError: where this folder's server of the other kind runs.
        UnreachableError: where it cannot be started.
    """
    before = files.effective(wish.env_file, "MLFLOW_SERVER_KIND")
    kind = kind or before or "compose"
    if before not in (None, kind) and _is_healthy(wish.env_file):
        raise UsageError(f"a {before} server runs for this folder; end it first: dspytrack server down")
    found = local.up(wish, progress) if kind == "local" else compose.up(wish, progress)
    if before in (None, kind):
        return found
    note = f"the {before} server's runs stay where they are: dspytrack server down, then up --{before}"
    return replace(found, notes=(*found.notes, note))


def down(env_file: Path, delete_data: bool = False) -> tuple[str, ...]:
    """Stop this folder's server.

    Returns:
        What is still there although data was to be deleted.

    Raises:
        NotFoundError: where none was started.
        UnreachableError: where it cannot be stopped.
    """
    if _kind(env_file) == "local":
        local.down(env_file, delete_data)
    else:
        compose.down(env_file, delete_data)
    return _kept_elsewhere(env_file) if delete_data else ()


def status(env_file: Path) -> ServerStatus:
    """How this folder's server does.

    Raises:
        NotFoundError: where none was started.
        UnreachableError: where Docker does not answer.
    """
    is_local = _kind(env_file) == "local"
    return local.status(env_file) if is_local else compose.status(env_file)


def logs(env_file: Path, service: str | None = None, follow: bool = False) -> Iterator[str]:
    """The log of this folder's server.

    Raises:
        NotFoundError: where none was started.
        UsageError: for a service that is none.
        UnreachableError: where Docker does not answer.
    """
    is_local = _kind(env_file) == "local"
    return local.logs(env_file, service, follow) if is_local else compose.logs(env_file, service, follow)


def _is_healthy(env_file: Path) -> bool:
    """Whether this folder's server runs; one in a Docker that does not answer does not."""
    try:
        return status(env_file).healthy
    except UnreachableError:
        return False


def check_compose(env_file: Path, what: str) -> None:
    """See that the server is of the kind that backups and upgrades are for.

    Raises:
        NotFoundError: where none was started.
        UsageError: for a local one, with what to do instead.
    """
    if _kind(env_file) == "local":
        raise UsageError(
            f"`server {what}` is for a server in Docker; a local one is the folder {data_folder(env_file)}: "
            "`dspytrack server down`, copy it, `dspytrack server up --local`"
        )


def _kept_elsewhere(env_file: Path) -> tuple[str, ...]:
    """What of a server's data lies in places of the user's own, and is not deleted with it."""
    settings = resolve(Wish(env_file=env_file), _kind(env_file))
    notes = []
    if settings.artifacts and not settings.with_s3:
        notes.append(f"the artifacts in {settings.artifacts} are still there")
    if settings.kind == "local" and settings.backend_store_uri:
        notes.append(f"the runs in {without_secrets(settings.backend_store_uri, env_file)} are still there")
    return tuple(notes)


def _kind(env_file: Path) -> str:
    kind = files.effective(env_file, "MLFLOW_SERVER_KIND")
    if kind is None:
        raise NotFoundError(
            f"no server was started in this folder ({env_file} names none); start one: dspytrack server up"
        )
    return kind
