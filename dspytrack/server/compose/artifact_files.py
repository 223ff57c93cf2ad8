"""A compose server's artifacts as files, on whichever of its volumes they lie: copied out, loaded, exchanged.

The layout is the same on both volumes, so what is copied out of one can be loaded into the other. Artifacts in an S3
store of the user's own are no files of ours, and nothing here touches them.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from dspytrack.errors import UsageError
from dspytrack.server.compose.engine import Engine
from dspytrack.server.settings import Settings


class Place(NamedTuple):
    """The service whose volume holds the folder `artifacts`, and the folder around it."""

    service: str
    folder: str


def place(settings: Settings) -> Place | None:
    """Where the artifacts lie; None for an S3 store of the user's own."""
    if settings.with_s3:
        return Place("s3", "/data/mlflow")
    return Place("mlflow", "/mlflow") if settings.artifacts is None else None


def check_match(settings: Settings, saved_in: str, packed: bool) -> None:
    """See that a server would find the artifacts of a backup.

    Args:
        settings: of the server.
        saved_in: what the backup says of its artifacts' place.
        packed: whether they are in the backup.

    Raises:
        UsageError: where it would not.
    """
    if packed and place(settings) is None:
        raise UsageError(
            f"the backup has its artifacts in it, and this server keeps its own in {settings.artifacts}; "
            "restore into a server without --artifacts"
        )
    if not packed and settings.artifacts != saved_in:
        raise UsageError(f"the backup's artifacts are in {saved_in}; first: dspytrack server up --artifacts {saved_in}")


def copy_out(engine: Engine, file: Path) -> None:
    """Write them into a tar file.

    Raises:
        UnreachableError: where Docker or tar fails.
    """
    with file.open("wb") as out:
        engine.compose(*_once(engine, "mkdir -p artifacts && tar -C artifacts -cf - ."), stdout=out)


def load(engine: Engine, file: Path) -> None:
    """Unpack a tar file beside the ones in use.

    Raises:
        UnreachableError: where Docker or tar fails.
    """
    with file.open("rb") as packed:
        script = "rm -rf restoring && mkdir restoring && tar -C restoring -xf -"
        engine.compose(*_once(engine, script), stdin=packed)


def exchange(engine: Engine) -> None:
    """What was loaded in place of what was in use: renames, then the old one is deleted.

    Raises:
        UnreachableError: where Docker fails.
    """
    renames = "rm -rf before && mkdir -p artifacts && mv artifacts before && mv restoring artifacts"
    engine.compose(*_once(engine, renames))
    engine.compose(*_once(engine, "rm -rf before"))


def _once(engine: Engine, script: str) -> tuple[str, ...]:
    """A container for one shell command in the folder that holds `artifacts`."""
    where = place(engine.settings)
    assert where is not None
    options = ("--rm", "--no-deps", "-T", "--entrypoint", "sh", "--workdir", where.folder)
    return ("run", *options, where.service, "-c", script)
