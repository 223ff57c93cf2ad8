"""A compose server's artifact files, on either of its volumes: copy them out, load others, swap the two.

Both volumes have the same layout, so what is copied out of one can be loaded into the other. Artifacts in an S3 store
of the user's own are not on a volume, and nothing here touches them.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from dspytrack.errors import UsageError
from dspytrack.server.compose.project import ComposeProject
from dspytrack.server.settings import Settings


class ArtifactVolume(NamedTuple):
    """The service whose volume holds the folder `artifacts`, and the folder that contains it."""

    service: str
    folder: str


def artifact_volume(settings: Settings) -> ArtifactVolume | None:
    """The volume that the artifacts are on; None for an S3 store of the user's own."""
    if settings.with_s3:
        return ArtifactVolume("s3", "/data/mlflow")
    return ArtifactVolume("mlflow", "/mlflow") if settings.artifacts is None else None


def check_match(settings: Settings, saved_in: str, packed: bool) -> None:
    """See that a server would find the artifacts of a backup.

    Args:
        settings: of the server.
        saved_in: where the artifacts are, as the backup says.
        packed: whether they are in the backup.

    Raises:
        UsageError: where it would not, with what to do.
    """
    if packed and artifact_volume(settings) is None:
        raise UsageError(
            f"the backup contains its artifacts, but this server keeps artifacts in {settings.artifacts}; "
            "restore into a server without --artifacts"
        )
    if not packed and settings.artifacts != saved_in:
        raise UsageError(f"the backup's artifacts are in {saved_in}; first: dspytrack server up --artifacts {saved_in}")


def copy_out(project: ComposeProject, file: Path) -> None:
    """Write them into a tar file.

    Raises:
        UnreachableError: where Docker or tar fails.
    """
    with file.open("wb") as out:
        project.run(*_once(project, "mkdir -p artifacts && tar -C artifacts -cf - ."), stdout=out)


def load(project: ComposeProject, file: Path) -> None:
    """Unpack a tar file beside the ones in use.

    Raises:
        UnreachableError: where Docker or tar fails.
    """
    with file.open("rb") as packed:
        script = "rm -rf restoring && mkdir restoring && tar -C restoring -xf -"
        project.run(*_once(project, script), stdin=packed)


def swap(project: ComposeProject) -> None:
    """Put what was loaded in place of what was in use, by renames, and delete the old files.

    Raises:
        UnreachableError: where Docker fails.
    """
    renames = "rm -rf before && mkdir -p artifacts && mv artifacts before && mv restoring artifacts"
    project.run(*_once(project, renames))
    project.run(*_once(project, "rm -rf before"))


def _once(project: ComposeProject, script: str) -> tuple[str, ...]:
    """Arguments that run one shell command in a new container, in the folder that holds `artifacts`."""
    volume = artifact_volume(project.settings)
    assert volume is not None
    options = ("--rm", "--no-deps", "-T", "--entrypoint", "sh", "--workdir", volume.folder)
    return ("run", *options, volume.service, "-c", script)
