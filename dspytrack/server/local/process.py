"""The `mlflow server` process of a data folder: starts it detached, recognizes it later, ends it with its group.

Owns `server.pid` and `server.log`; `backend` decides when to start and stop. Passwords reach the process by its
environment, never by its command line.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

from dspytrack.errors import UnreachableError
from dspytrack.server.env_file import effective_value, read_values
from dspytrack.server.settings import Settings

_TERM_SECONDS, _KILL_SECONDS = 15, 5
_LOG_BYTES = 10_000_000


def start(settings: Settings, store_uri: str) -> subprocess.Popen[bytes]:
    """Start the server as the leader of a session, and note it in the pid file."""
    folder = settings.data_folder
    (folder / "artifacts").mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    log = folder / "server.log"
    if log.is_file() and log.stat().st_size > _LOG_BYTES:
        log.replace(folder / "server.log.1")
    command = [sys.executable, "-m", "mlflow", "server", "--host", settings.host, "--port", str(settings.port)]
    command += ["--workers", effective_value(settings.env_file, "MLFLOW_SERVER_WORKERS") or "1"]
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
    _pid_file(folder).write_text(json.dumps({"pid": process.pid, "command": command}), encoding="utf-8")
    return process


def running_pid(folder: Path) -> int | None:
    """The pid of the server that was started in a data folder and still runs.

    None where it ended, where its number belongs to another process by now (which has another command line or another
    working folder), and where the pid file is damaged. A clock that was set does not matter, as it would for the time
    at which a process was started.
    """
    try:
        noted = json.loads(_pid_file(folder).read_text(encoding="utf-8"))
        process = psutil.Process(int(noted["pid"]))
        # The first word is left out: some Pythons replace themselves by another file of theirs.
        is_ours = process.cmdline()[1:] == noted["command"][1:] and Path(process.cwd()) == folder.resolve()
    except (OSError, ValueError, TypeError, KeyError, OverflowError, psutil.Error):
        return None
    return process.pid if is_ours else None


def forget(folder: Path) -> None:
    """Remove the pid file."""
    _pid_file(folder).unlink(missing_ok=True)


def stop_group(leader: int) -> None:
    """End a session's leader and every process of its group.

    Raises:
        UnreachableError: where they do not end.
    """
    for number, seconds in ((signal.SIGTERM, _TERM_SECONDS), (signal.SIGKILL, _KILL_SECONDS)):
        with suppress(ProcessLookupError):
            os.killpg(leader, number)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not _group_lives(leader):
                return
            time.sleep(0.1)
    raise UnreachableError(f"the server (process {leader}) does not end")


def _group_lives(leader: int) -> bool:
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # it ended, or is another user's
            if os.getpgid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                return True
    return False


def _pid_file(folder: Path) -> Path:
    return folder / "server.pid"


def _environment(settings: Settings, store_uri: str) -> dict[str, str]:
    """This process's environment and the server's settings, without what would make MLflow a client."""
    env_file, folder = settings.env_file, settings.data_folder
    variables = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_TRACKING_")}
    written = read_values(env_file)
    variables |= {name: value for name, value in written.items() if name.startswith("AWS_") and name not in variables}
    for name in ("MLFLOW_SERVER_ALLOWED_HOSTS", "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"):
        variables[name] = effective_value(env_file, name) or ""
    # MLflow's job runners take seven processes of 300 MB. litellm, where it is installed, fetches a price list while it
    # is imported; without a network its retries have been seen to block that import forever.
    variables = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "LITELLM_LOCAL_MODEL_COST_MAP": "True", **variables}
    variables |= {"MLFLOW_BACKEND_STORE_URI": store_uri}
    if settings.s3_endpoint:
        variables["MLFLOW_S3_ENDPOINT_URL"] = settings.s3_endpoint
    if settings.auth:
        (folder / "auth.ini").write_text(
            "[mlflow]\ndefault_permission = READ\nadmin_username = admin\n"
            f"database_uri = sqlite:///{str(folder).replace('%', '%%')}/auth.db\n"
            "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
            "auth_cache_ttl_seconds = 30\n"  # else each request hashes its password for 0.3 s
        )
        variables["MLFLOW_AUTH_CONFIG_PATH"] = str(folder / "auth.ini")
        for name in ("MLFLOW_AUTH_ADMIN_PASSWORD", "MLFLOW_FLASK_SERVER_SECRET_KEY"):
            variables[name] = effective_value(env_file, name) or ""
    return variables
