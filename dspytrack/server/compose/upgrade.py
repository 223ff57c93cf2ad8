"""Moves a compose server to another version of MLflow, and back by itself where that fails."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

from dspytrack.errors import DspytrackError, UnreachableError, UsageError
from dspytrack.server.backend import OnProgress
from dspytrack.server.compose.backup import backup, migrate, restore, running_project
from dspytrack.server.compose.project import ComposeProject
from dspytrack.server.compose.start import start
from dspytrack.server.env_file import effective_value, set_values
from dspytrack.server.settings import client_version
from dspytrack.tracking import ENV_FILE


class Upgrade(NamedTuple):
    """MLflow's version before and after, and the backup made in between; None where there was nothing to do."""

    before: str
    after: str
    backup: Path | None


def upgrade(progress: OnProgress, to: str | None = None, env_file: Path = ENV_FILE) -> Upgrade:
    """Move the server to another MLflow version: back up, migrate, start; go back where that fails.

    Args:
        progress: called with each step.
        to: the version; the installed client's by default.
        env_file: with the server's settings.

    Raises:
        NotFoundError: where no server was started.
        UsageError: where the server is a local one, or MLFLOW_IMAGE decides the version.
        UnreachableError: where it failed; the message says what runs now.
    """
    old = running_project(env_file, "upgrade")
    before, after = old.settings.version, to or client_version()
    if before == after:
        return Upgrade(before, after, None)
    if image := effective_value(env_file, "MLFLOW_IMAGE"):
        raise UsageError(f"MLFLOW_IMAGE={image} decides the version; change it in {env_file}, or remove it")
    new = ComposeProject(replace(old.settings, version=after))
    new.pull_missing(progress)
    stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    saved = backup(old.settings.data_folder / "backups" / f"{stamp}-v{before}.tar", progress, env_file)
    try:
        progress(f"migrating from MLflow {before} to {after}")
        old.run("stop", "mlflow")
        migrate(new)
        set_values(env_file, {"MLFLOW_SERVER_VERSION": after})
        start(new, progress)
    except DspytrackError as error:
        progress("going back")
        set_values(env_file, {"MLFLOW_SERVER_VERSION": before})
        restore(saved, progress, env_file)
        raise UnreachableError(
            f"the upgrade failed, MLflow {before} runs as before (backup: {saved}): {error}"
        ) from error
    return Upgrade(before, after, saved)
