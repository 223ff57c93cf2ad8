"""The server as a detached process on this machine: start, stop, status, logs.

Its data folder (`.dspytrack/server` beside the env file) holds `mlflow.db`, `artifacts/`, `server.log` and, while it
runs, `server.pid`. The process itself is `process`'s.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from dspytrack.errors import UnreachableError, UsageError
from dspytrack.server.backend import OnProgress, ServerStatus, Service
from dspytrack.server.bucket import check_bucket
from dspytrack.server.local.database import run_count, store_uri
from dspytrack.server.local.process import forget, running_pid, start, stop_group
from dspytrack.server.network import get
from dspytrack.server.ports import check_port, port_holder
from dspytrack.server.save import add_secrets, publish, save
from dspytrack.server.settings import (
    ServerOptions,
    Settings,
    check_exposure,
    client_version,
    data_folder,
    resolve,
    without_secrets,
)
from dspytrack.tracking import database

START_SECONDS = 120
_DATA_FILES = (
    "mlflow.db",
    "mlflow.db-wal",
    "mlflow.db-shm",
    "auth.db",
    "auth.ini",
    "server.log",
    "server.log.1",
)


def up(options: ServerOptions, progress: OnProgress) -> ServerStatus:
    """Start the process if it does not run, wait until it answers, make it the server that `optimize` uses.

    Raises:
        UsageError: for options that do not fit, a port in use, a missing driver, or an env file that cannot be written.
        UnreachableError: where the database does not answer, or the server does not start, with its last log lines.
    """
    if options.with_s3:
        raise UsageError("--with-s3 adds a container: it does not go with --local; --artifacts s3://… does")
    settings = resolve(options, "local")
    check_exposure(settings, options.insecure)
    pid = running_pid(settings.data_folder)
    if pid is None:
        _start(settings, progress)
        save(settings)
    elif settings != resolve(ServerOptions(env_file=options.env_file), "local"):
        raise UsageError(
            f"the server runs (process {pid}), but not with these settings; to change it: "
            "dspytrack server down, then this command again"
        )
    elif get(f"{settings.address}/health") is None:
        raise UnreachableError(f"process {pid} runs, but does not answer at {settings.address}: dspytrack server logs")
    return _status(settings, publish(settings))


def down(env_file: Path, delete_data: bool) -> tuple[str, ...]:
    """Stop the process; its data stays unless `delete_data`. A PostgreSQL or S3 store of the user's own always stays.

    Returns:
        What is still there or still answers.

    Raises:
        UnreachableError: where the process does not end.
    """
    settings = resolve(ServerOptions(env_file=env_file), "local")
    pid = running_pid(settings.data_folder)
    notes = []
    if pid is not None:
        stop_group(pid)
    elif get(f"{settings.address}/health") is not None:
        holder = port_holder(settings.port) or "another program"
        notes.append(f"{holder} still answers at {settings.address}; it was not started here, and not stopped")
    forget(settings.data_folder)
    if delete_data:
        _delete_data(settings.data_folder)
        notes += [f"the artifacts in {settings.artifacts} are still there"] if settings.artifacts else []
        if settings.backend_store_uri:
            notes.append(f"the runs in {without_secrets(settings.backend_store_uri, env_file)} are still there")
    return tuple(notes)


def status(env_file: Path) -> ServerStatus:
    """The state of the server now.

    Raises:
        UsageError: where the settings are wrong.
    """
    return _status(resolve(ServerOptions(env_file=env_file), "local"))


def logs(env_file: Path, service: str | None, follow: bool) -> Iterator[str]:
    """The lines of the log, secrets masked; with `follow`, for as long as the process runs.

    Raises:
        UsageError: for a service other than mlflow, or where there is no log.
    """
    if service not in (None, "mlflow"):
        raise UsageError(f"no service `{service}`; there is mlflow")
    folder = data_folder(env_file)
    file = folder / "server.log"
    if not file.is_file():
        raise UsageError("no log: no local server was started here; `dspytrack server up --local` starts one")
    with file.open(encoding="utf-8", errors="replace") as lines:
        while True:
            for line in lines:
                yield without_secrets(line.rstrip("\n"), env_file)
            if not follow or running_pid(folder) is None:
                return
            time.sleep(0.3)


def _start(settings: Settings, progress: OnProgress) -> None:
    check_port(settings.host, settings.port, "--local ")
    if settings.artifacts:
        progress(f"checking {settings.artifacts}")
        check_bucket(settings)
    if settings.auth and find_spec("flask_wtf") is None:
        raise UsageError("logins need Flask-WTF: pip install 'mlflow[auth]'")
    uri = store_uri(settings)
    database.check(uri)
    add_secrets(settings)
    process = start(settings, uri)
    try:
        _wait(settings, process, progress)
    except BaseException:
        stop_group(process.pid)
        forget(settings.data_folder)
        raise


def _wait(settings: Settings, process: subprocess.Popen[bytes], progress: OnProgress) -> None:
    started = time.monotonic()
    progress("waiting for mlflow")
    while time.monotonic() - started < START_SECONDS:
        if process.poll() is not None:
            raise _failure(settings, f"ended with {process.returncode}")
        if get(f"{settings.address}/health") is not None:
            return
        time.sleep(0.3)
    raise _failure(settings, f"did not answer within {START_SECONDS} s")


def _failure(settings: Settings, what: str) -> UnreachableError:
    log = settings.data_folder / "server.log"
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
    shown = without_secrets("\n".join(lines), settings.env_file)
    return UnreachableError(f"`mlflow server` {what}; the last lines of {log}:\n{shown}")


def _status(settings: Settings, notes: tuple[str, ...] = ()) -> ServerStatus:
    folder = settings.data_folder
    pid = running_pid(folder)
    healthy = pid is not None and get(f"{settings.address}/health") is not None
    service = Service(
        name="mlflow",
        state="exited" if pid is None else f"running (process {pid})",
        health="healthy" if healthy else "none" if pid is None else "unhealthy",
        image=f"mlflow {client_version()}",
        volume_bytes=sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
    )
    return ServerStatus(
        kind="local",
        address=settings.address,
        healthy=healthy,
        auth=settings.auth,
        version=get(f"{settings.address}/version", settings.login) if healthy else None,
        client_version=client_version(),
        runs=run_count(store_uri(settings)) if healthy else None,
        artifacts=settings.artifacts or str(folder / "artifacts"),
        services=(service,),
        notes=notes,
    )


def _delete_data(folder: Path) -> None:
    for name in _DATA_FILES:
        (folder / name).unlink(missing_ok=True)
    if (folder / "artifacts").is_dir():
        shutil.rmtree(folder / "artifacts")
