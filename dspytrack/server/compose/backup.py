"""A compose server's database and artifacts in one file, back from it, and an upgrade that can go back.

The file is a tar: `backup.json`, `database.dump` (pg_dump's own format), `artifacts.tar` (not for artifacts in an
S3 store of the user's own). It has the runs and, with logins, the password hashes: its mode is 600.
"""

from __future__ import annotations

import json
import os
import tarfile
import tempfile
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from dspytrack.errors import DspytrackError, UnreachableError, UsageError
from dspytrack.server import env_file as files
from dspytrack.server.compose import artifact_files
from dspytrack.server.compose.engine import Engine
from dspytrack.server.compose.start import is_healthy, start
from dspytrack.server.settings import Wish, client_version, resolve
from dspytrack.server.status import Progress
from dspytrack.tracking import ENV_FILE

_URI = "postgresql+psycopg2://mlflow@postgres:5432/mlflow"
_EXCHANGE = (
    "DROP DATABASE IF EXISTS mlflow_before WITH (FORCE)",
    "ALTER DATABASE mlflow RENAME TO mlflow_before",
    "ALTER DATABASE mlflow_restoring RENAME TO mlflow",
)


def backup(file: Path, progress: Progress, env_file: Path = ENV_FILE) -> Path:
    """Write a running server's data into a new file.

    Raises:
        UsageError: where the file exists or cannot be written.
        UnreachableError: where the server does not run or its data cannot be read.
    """
    engine = _running(env_file)
    if file.exists():
        raise UsageError(f"{file} exists; a backup overwrites nothing")
    settings = engine.settings
    packs_artifacts = artifact_files.place(settings) is not None
    about = {
        "format": 1,
        "mlflow_version": settings.version,
        "artifacts": "artifacts.tar" if packs_artifacts else settings.artifacts,
        "made": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent, prefix=".backup-") as scratch:
            folder = Path(scratch)
            (folder / "backup.json").write_text(json.dumps(about, indent=2), encoding="utf-8")
            progress("dumping the database")
            _into(
                folder / "database.dump", engine, "exec", "-T", "postgres", "pg_dump", "-U", "mlflow", "-Fc", "mlflow"
            )
            if packs_artifacts:
                progress("copying artifacts")
                artifact_files.copy_out(engine, folder / "artifacts.tar")
            _pack(folder, file)
    except OSError as error:
        raise UsageError(f"{file}: cannot be written: {error.strerror or error}") from error
    return file


def restore(file: Path, progress: Progress, env_file: Path = ENV_FILE) -> dict[str, Any]:
    """Put a backup's data in place of the server's and start it; only when all is loaded, the two are exchanged.

    Returns:
        What the backup says of itself.

    Raises:
        UsageError: where the file is no backup, of a newer MLflow than the server's, or of artifacts elsewhere.
        UnreachableError: where Docker or a service fails; before the exchange the server's data is as it was.
    """
    if not file.is_file():
        raise UsageError(f"{file}: no such file")
    engine = Engine(resolve(Wish(env_file=env_file), "compose"))
    engine.check()
    with tempfile.TemporaryDirectory(prefix="dspytrack-restore-") as scratch:
        folder = Path(scratch)
        about = _unpack(file, folder, engine.settings.version)
        artifact_files.check_match(engine.settings, about["artifacts"], (folder / "artifacts.tar").is_file())
        engine.pull_missing(progress)
        engine.compose("up", "--detach", "--wait", "postgres")
        engine.compose("stop", "mlflow", *(["s3"] if engine.settings.with_s3 else []))
        try:
            _load(engine, folder, progress)
            _exchange(engine, (folder / "artifacts.tar").is_file())
            if about["mlflow_version"] != engine.settings.version:
                progress(f"migrating from MLflow {about['mlflow_version']}")
                _migrate(engine)
        finally:
            start(engine, progress)
    return about


class Upgrade(NamedTuple):
    """From which version to which, and the backup made before; None where there was nothing to do."""

    before: str
    after: str
    backup: Path | None


def upgrade(progress: Progress, to: str | None = None, env_file: Path = ENV_FILE) -> Upgrade:
    """Move the server to another MLflow version: back up, migrate, start; go back by itself where that fails.

    Args:
        progress: told what is being done.
        to: the version; the installed client's by default.
        env_file: where the server's settings are.

    Raises:
        UsageError: where MLFLOW_IMAGE decides the version.
        UnreachableError: where it failed; the message says what runs now.
    """
    old = _running(env_file)
    before, after = old.settings.version, to or client_version()
    if before == after:
        return Upgrade(before, after, None)
    if image := files.effective(env_file, "MLFLOW_IMAGE"):
        raise UsageError(f"MLFLOW_IMAGE={image} decides the version; change it in {env_file}, or take it away")
    new = Engine(replace(old.settings, version=after))
    new.pull_missing(progress)
    stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    saved = backup(old.settings.data_folder / "backups" / f"{stamp}-v{before}.tar", progress, env_file)
    try:
        progress(f"migrating from MLflow {before} to {after}")
        old.compose("stop", "mlflow")
        _migrate(new)
        files.put(env_file, {"MLFLOW_SERVER_VERSION": after})
        start(new, progress)
    except DspytrackError as error:
        progress("going back")
        files.put(env_file, {"MLFLOW_SERVER_VERSION": before})
        restore(saved, progress, env_file)
        raise UnreachableError(
            f"the upgrade failed, MLflow {before} runs as before (backup: {saved}): {error}"
        ) from error
    return Upgrade(before, after, saved)


def _running(env_file: Path) -> Engine:
    engine = Engine(resolve(Wish(env_file=env_file), "compose"))
    engine.check()
    if not any(found.service == "postgres" and is_healthy(found) for found in engine.containers()):
        raise UnreachableError("the server does not run; start it: `dspytrack server up`")
    return engine


def _load(engine: Engine, folder: Path, progress: Progress) -> None:
    """Database and artifacts beside the ones in use."""
    progress("restoring the database")
    database = ("exec", "-T", "postgres")
    engine.compose(*database, "dropdb", "-U", "mlflow", "--if-exists", "--force", "mlflow_restoring")
    engine.compose(*database, "createdb", "-U", "mlflow", "mlflow_restoring")
    with (folder / "database.dump").open("rb") as dump:
        command = (*database, "pg_restore", "-U", "mlflow", "--no-owner", "--exit-on-error", "-d", "mlflow_restoring")
        engine.compose(*command, stdin=dump)
    if (folder / "artifacts.tar").is_file():
        progress("restoring artifacts")
        artifact_files.load(engine, folder / "artifacts.tar")


def _exchange(engine: Engine, with_files: bool) -> None:
    """What was loaded in place of what was in use: renames alone."""
    for statement in _EXCHANGE:
        _sql(engine, statement)
    if with_files:
        artifact_files.exchange(engine)
    _sql(engine, "DROP DATABASE mlflow_before WITH (FORCE)")


def _sql(engine: Engine, statement: str) -> None:
    command = ("psql", "-U", "mlflow", "-d", "template1", "-v", "ON_ERROR_STOP=1", "-c", statement)
    engine.compose("exec", "-T", "postgres", *command)


def _migrate(engine: Engine) -> None:
    engine.compose("run", "--rm", "--no-deps", "-T", "mlflow", "mlflow", "db", "upgrade", _URI)


def _into(file: Path, engine: Engine, *args: str) -> None:
    with file.open("wb") as out:
        engine.compose(*args, stdout=out)


def _pack(folder: Path, file: Path) -> None:
    scratch = folder / "whole.tar"
    scratch.touch(mode=0o600)
    with tarfile.open(scratch, "w") as packed:
        for part in ("backup.json", "database.dump", "artifacts.tar"):
            if (folder / part).is_file():
                packed.add(folder / part, arcname=part)
    with scratch.open("rb") as written:
        os.fsync(written.fileno())
    scratch.rename(file)


def _unpack(file: Path, folder: Path, server_version: str) -> dict[str, Any]:
    try:
        with tarfile.open(file) as packed:
            for part in ("backup.json", "database.dump", "artifacts.tar"):
                if part in packed.getnames():
                    packed.extract(part, folder, filter="data")
        about: dict[str, Any] = json.loads((folder / "backup.json").read_text(encoding="utf-8"))
    except (OSError, tarfile.TarError, ValueError) as error:
        raise UsageError(f"{file} is no backup of a dspytrack server: {error}") from error
    if _numbers(about["mlflow_version"]) > _numbers(server_version):
        raise UsageError(
            f"{file} is from MLflow {about['mlflow_version']}, the server is {server_version}: dspytrack server upgrade"
        )
    return about


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]
