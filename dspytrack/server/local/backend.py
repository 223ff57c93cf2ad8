"""The server as a process on this machine, without Docker: `mlflow server`, detached, on SQLite unless told otherwise.

Its data folder (`.dspytrack/server` beside the env file) holds `mlflow.db`, `artifacts/`, `server.log` and, while it
runs, `server.pid`. Passwords reach it by its environment, never by its command line.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from dspytrack.errors import UnreachableError, UsageError
from dspytrack.server import env_file as files
from dspytrack.server.bucket import check_here
from dspytrack.server.local.process import began, stop_group
from dspytrack.server.network import check_port, get
from dspytrack.server.settings import (
    Settings,
    Wish,
    check_exposure,
    client_version,
    complete,
    data_folder,
    keep,
    publish,
    resolve,
    without_secrets,
)
from dspytrack.server.status import Progress, ServerStatus, Service
from dspytrack.server.store import run_count, store_uri
from dspytrack.tracking import ENV_FILE, database

START_SECONDS = 120
_LOG_BYTES = 10_000_000


def up(wish: Wish, progress: Progress) -> ServerStatus:
    """Start the process if it does not run, wait until it answers, make it the server that `optimize` uses.

    Raises:
        UsageError: for what was asked, a port in use, a missing driver, or an env file that cannot be written.
        UnreachableError: where the database does not answer, or the server does not come up, with its last log lines.
    """
    if wish.with_s3:
        raise UsageError("--with-s3 adds a container: it does not go with --local; --artifacts s3://… does")
    settings = resolve(wish, "local")
    check_exposure(settings, wish.insecure)
    running = _pid(settings.data_folder)
    if running is None:
        check_port(settings.host, settings.port, "--local ")
        if settings.artifacts:
            progress(f"checking {settings.artifacts}")
            check_here(settings)
        if settings.auth and find_spec("flask_wtf") is None:
            raise UsageError("logins need Flask-WTF: pip install 'mlflow[auth]'")
        uri = store_uri(settings, settings.data_folder)
        database.check(uri)
        complete(settings)
        process = _spawn(settings, uri)
        try:
            _wait(settings, process, progress)
        except KeyboardInterrupt:
            stop_group(process.pid)
            raise
        keep(settings)
    elif settings != resolve(Wish(env_file=wish.env_file), "local"):
        raise UsageError(
            f"the server runs (process {running}), but not with these settings; to change it: "
            "dspytrack server down, then this command again"
        )
    elif get(f"{settings.address}/health") is None:
        raise UnreachableError(
            f"process {running} runs, and does not answer at {settings.address}: dspytrack server logs"
        )
    return status(settings.env_file, notes=publish(settings))


def down(env_file: Path = ENV_FILE, delete_data: bool = False) -> None:
    """Stop the process; its data stays unless it is to be deleted. A PostgreSQL of your own is never touched.

    Raises:
        UnreachableError: where it does not end.
    """
    folder = data_folder(env_file)
    running = _pid(folder)
    if running is not None:
        stop_group(running)
    (folder / "server.pid").unlink(missing_ok=True)
    if delete_data:
        for name in (
            "mlflow.db",
            "mlflow.db-wal",
            "mlflow.db-shm",
            "auth.db",
            "auth.ini",
            "server.log",
            "server.log.1",
        ):
            (folder / name).unlink(missing_ok=True)
        if (folder / "artifacts").is_dir():
            shutil.rmtree(folder / "artifacts")


def status(env_file: Path = ENV_FILE, notes: tuple[str, ...] = ()) -> ServerStatus:
    """How the server does now.

    Raises:
        UsageError: where the settings are wrong.
    """
    settings = resolve(Wish(env_file=env_file), "local")
    folder = settings.data_folder
    running = _pid(folder)
    healthy = running is not None and get(f"{settings.address}/health") is not None
    service = Service(
        name="mlflow",
        state="exited" if running is None else f"running (process {running})",
        health="healthy" if healthy else "none" if running is None else "unhealthy",
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
        runs=run_count(store_uri(settings, folder)) if healthy else None,
        artifacts=settings.artifacts or str(folder / "artifacts"),
        services=(service,),
        notes=notes,
    )


def logs(env_file: Path = ENV_FILE, service: str | None = None, follow: bool = False) -> Iterator[str]:
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
            if not follow or _pid(folder) is None:
                return
            time.sleep(0.3)


def _spawn(settings: Settings, store_uri: str) -> subprocess.Popen[bytes]:
    folder = settings.data_folder
    (folder / "artifacts").mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    log = folder / "server.log"
    if log.is_file() and log.stat().st_size > _LOG_BYTES:
        log.replace(folder / "server.log.1")
    command = [sys.executable, "-m", "mlflow", "server", "--host", settings.host, "--port", str(settings.port)]
    command += ["--workers", files.effective(settings.env_file, "MLFLOW_SERVER_WORKERS") or "1"]
    command += ["--artifacts-destination", settings.artifacts or str(folder / "artifacts")]
    command += ["--app-name", "basic-auth"] if settings.auth else []
    with log.open("ab") as out:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd=folder,
            env=_environment(settings, store_uri),
            start_new_session=True,
        )
    (folder / "server.pid").write_text(json.dumps({"pid": process.pid, "began": began(process.pid)}))
    return process


def _environment(settings: Settings, store_uri: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_TRACKING_")}
    written = files.read(settings.env_file)
    kept |= {name: value for name, value in written.items() if name.startswith("AWS_") and name not in kept}
    for name in ("MLFLOW_SERVER_ALLOWED_HOSTS", "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"):
        kept[name] = files.effective(settings.env_file, name) or ""
    # MLflow's job runners take seven processes of 300 MB; litellm, where it is installed, would fetch a price list
    # while it is imported, and without a network its retry has been seen to lock that import up for good.
    kept = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "LITELLM_LOCAL_MODEL_COST_MAP": "True", **kept}
    kept |= {"MLFLOW_BACKEND_STORE_URI": store_uri}
    if settings.s3_endpoint:
        kept["MLFLOW_S3_ENDPOINT_URL"] = settings.s3_endpoint
    if settings.auth:
        folder = settings.data_folder
        (folder / "auth.ini").write_text(
            "[mlflow]\ndefault_permission = READ\nadmin_username = admin\n"
            f"database_uri = sqlite:///{str(folder).replace('%', '%%')}/auth.db\n"
            "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
            "auth_cache_ttl_seconds = 30\n"  # else each request hashes its password for 0.3 s; 30 s to a revocation
        )
        kept["MLFLOW_AUTH_CONFIG_PATH"] = str(folder / "auth.ini")
        for name in ("MLFLOW_AUTH_ADMIN_PASSWORD", "MLFLOW_FLASK_SERVER_SECRET_KEY"):
            kept[name] = files.effective(settings.env_file, name) or ""
    return kept


def _wait(settings: Settings, process: subprocess.Popen[bytes], progress: Progress) -> None:
    start = time.monotonic()
    progress("waiting for mlflow")
    while time.monotonic() - start < START_SECONDS:
        if process.poll() is not None:
            raise _failure(settings, f"ended with {process.returncode}")
        if get(f"{settings.address}/health") is not None:
            return
        time.sleep(0.3)
    stop_group(process.pid)
    raise _failure(settings, f"did not answer within {START_SECONDS} s")


def _failure(settings: Settings, what: str) -> UnreachableError:
    folder = settings.data_folder
    (folder / "server.pid").unlink(missing_ok=True)
    lines = (folder / "server.log").read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
    told = without_secrets("\n".join(lines), settings.env_file)
    return UnreachableError(f"`mlflow server` {what}; the last lines of {folder / 'server.log'}:\n{told}")


def _pid(folder: Path) -> int | None:
    """The running server's process; None where it ended, even where another process has its number now."""
    file = folder / "server.pid"
    if not file.is_file():
        return None
    noted = json.loads(file.read_text())
    return int(noted["pid"]) if noted["began"] and began(noted["pid"]) == noted["began"] else None
