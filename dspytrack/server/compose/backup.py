"""Backs up a compose server's database and artifacts into one file, and restores them from it.

The file is a tar: `backup.json`, `database.dump` (pg_dump's own format), `artifacts.tar` (not for artifacts in an
S3 store of the user's own). It has the runs and, with logins, the password hashes: its mode is 600.
"""

from __future__ import annotations

import os
import tarfile
import tempfile
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from dspytrack.errors import UnreachableError, UsageError
from dspytrack.server.backend import OnProgress
from dspytrack.server.compose import artifact_files
from dspytrack.server.compose.project import ComposeProject
from dspytrack.server.compose.start import start
from dspytrack.server.settings import ServerOptions, data_folder, resolve, started_kind
from dspytrack.tracking import ENV_FILE

_STORE_URI = "postgresql+psycopg2://mlflow@postgres:5432/mlflow"
_MEMBERS = ("backup.json", "database.dump", "artifacts.tar")
_SWAP = (
    "DROP DATABASE IF EXISTS mlflow_before WITH (FORCE)",
    "ALTER DATABASE mlflow RENAME TO mlflow_before",
    "ALTER DATABASE mlflow_restoring RENAME TO mlflow",
)


class BackupInfo(BaseModel):
    """What a backup says of itself in `backup.json`; `artifacts` is its own member, or the S3 place they stayed in."""

    format: Literal[1] = 1
    mlflow_version: str
    artifacts: str
    made: str
    """When, in UTC."""


def backup(file: Path, progress: OnProgress, env_file: Path = ENV_FILE) -> Path:
    """Write a running server's data into a new file.

    Raises:
        NotFoundError: where no server was started.
        UsageError: where the server is a local one, or the file exists or cannot be written.
        UnreachableError: where the server does not run or its data cannot be read.
    """
    project = running_project(env_file, "backup")
    if file.exists():
        raise UsageError(f"{file} exists; a backup overwrites nothing")
    settings = project.settings
    packs_artifacts = artifact_files.artifact_volume(settings) is not None
    info = BackupInfo(
        mlflow_version=settings.version,
        artifacts="artifacts.tar" if packs_artifacts else settings.artifacts or "",
        made=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent, prefix=".backup-") as scratch:
            folder = Path(scratch)
            (folder / "backup.json").write_text(info.model_dump_json(indent=2), encoding="utf-8")
            progress("dumping the database")
            with (folder / "database.dump").open("wb") as dump:
                project.run("exec", "-T", "postgres", "pg_dump", "-U", "mlflow", "-Fc", "mlflow", stdout=dump)
            if packs_artifacts:
                progress("copying artifacts")
                artifact_files.copy_out(project, folder / "artifacts.tar")
            _pack(folder, file)
    except OSError as error:
        raise UsageError(f"{file}: cannot be written: {error.strerror or error}") from error
    return file


def restore(file: Path, progress: OnProgress, env_file: Path = ENV_FILE) -> BackupInfo:
    """Put a backup's data in place of the server's and start it; the two are swapped only when all is loaded.

    Returns:
        What the backup says of itself.

    Raises:
        NotFoundError: where no server was started.
        UsageError: where the server is a local one, or the file is not a backup, of a newer MLflow than the server's,
            or of artifacts that the server would not find.
        UnreachableError: where Docker or a service fails; before the swap the server's data is as it was.
    """
    if not file.is_file():
        raise UsageError(f"{file}: no such file")
    project = _project(env_file, "restore")
    with tempfile.TemporaryDirectory(prefix="dspytrack-restore-") as scratch:
        folder = Path(scratch)
        info = _unpack(file, folder, project.settings.version)
        artifact_files.check_match(project.settings, info.artifacts, (folder / "artifacts.tar").is_file())
        project.pull_missing(progress)
        project.run("up", "--detach", "--wait", "postgres")
        project.run("stop", "mlflow", *(["s3"] if project.settings.with_s3 else []))
        try:
            _load(project, folder, progress)
            _swap(project, (folder / "artifacts.tar").is_file())
            if info.mlflow_version != project.settings.version:
                progress(f"migrating from MLflow {info.mlflow_version}")
                migrate(project)
        finally:
            start(project, progress)
    return info


def running_project(env_file: Path, command: str) -> ComposeProject:
    """The project of a running compose server, for a command that only such a server has.

    Raises:
        NotFoundError: where no server was started.
        UsageError: where the server is a local one, with what to do instead.
        UnreachableError: where the server or Docker does not run.
    """
    project = _project(env_file, command)
    if not any(found.service == "postgres" and found.is_healthy for found in project.containers()):
        raise UnreachableError("the server does not run; start it: `dspytrack server up`")
    return project


def migrate(project: ComposeProject) -> None:
    """Bring the database's schema to the project's version of MLflow.

    Raises:
        UnreachableError: where that fails.
    """
    project.run("run", "--rm", "--no-deps", "-T", "mlflow", "mlflow", "db", "upgrade", _STORE_URI)


def _project(env_file: Path, command: str) -> ComposeProject:
    if started_kind(env_file) != "compose":
        raise UsageError(
            f"`server {command}` is for a server in Docker; a local one is the folder {data_folder(env_file)}: "
            "`dspytrack server down`, copy it, `dspytrack server up --local`"
        )
    project = ComposeProject(resolve(ServerOptions(env_file=env_file), "compose"))
    project.check()
    return project


def _load(project: ComposeProject, folder: Path, progress: OnProgress) -> None:
    """Load the database and the artifacts beside those in use."""
    progress("restoring the database")
    database = ("exec", "-T", "postgres")
    project.run(*database, "dropdb", "-U", "mlflow", "--if-exists", "--force", "mlflow_restoring")
    project.run(*database, "createdb", "-U", "mlflow", "mlflow_restoring")
    with (folder / "database.dump").open("rb") as dump:
        command = (*database, "pg_restore", "-U", "mlflow", "--no-owner", "--exit-on-error", "-d", "mlflow_restoring")
        project.run(*command, stdin=dump)
    if (folder / "artifacts.tar").is_file():
        progress("restoring artifacts")
        artifact_files.load(project, folder / "artifacts.tar")


def _swap(project: ComposeProject, with_files: bool) -> None:
    """Put what was loaded in place of what was in use, by renames."""
    for statement in _SWAP:
        _sql(project, statement)
    if with_files:
        artifact_files.swap(project)
    _sql(project, "DROP DATABASE mlflow_before WITH (FORCE)")


def _sql(project: ComposeProject, statement: str) -> None:
    command = ("psql", "-U", "mlflow", "-d", "template1", "-v", "ON_ERROR_STOP=1", "-c", statement)
    project.run("exec", "-T", "postgres", *command)


def _pack(folder: Path, file: Path) -> None:
    scratch = folder / "whole.tar"
    scratch.touch(mode=0o600)
    with tarfile.open(scratch, "w") as packed:
        for name in _MEMBERS:
            if (folder / name).is_file():
                packed.add(folder / name, arcname=name)
    with scratch.open("rb") as written:
        os.fsync(written.fileno())
    scratch.rename(file)


def _unpack(file: Path, folder: Path, server_version: str) -> BackupInfo:
    try:
        with tarfile.open(file) as packed:
            for name in _MEMBERS:
                if name in packed.getnames():
                    packed.extract(name, folder, filter="data")
        info = BackupInfo.model_validate_json((folder / "backup.json").read_bytes())
    except (OSError, tarfile.TarError, ValueError) as error:
        raise UsageError(f"{file} is not a backup of a dspytrack server: {error}") from error
    if _numbers(info.mlflow_version) > _numbers(server_version):
        raise UsageError(
            f"{file} is from MLflow {info.mlflow_version}, the server is {server_version}: dspytrack server upgrade"
        )
    return info


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]
