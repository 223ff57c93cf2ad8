"""Checks of the tracking address: does it answer, is it MLflow, of which version, with which clock and login."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timezone
from urllib.parse import urlparse

from dspytrack.doctor.check import Check, failed, failed_with, passed, skipped
from dspytrack.doctor.folder_settings import FolderSettings
from dspytrack.doctor.server import how_to_restart, is_running
from dspytrack.errors import DspytrackError, UnreachableError
from dspytrack.server.compose.project import docker_fault
from dspytrack.server.network import is_loopback
from dspytrack.server.ports import next_free, port_holder
from dspytrack.server.settings import ServerOptions, client_version, resolve
from dspytrack.tracking import database, selftest
from dspytrack.tracking.address import sqlite_file
from dspytrack.tracking.config import MLflowConfig
from dspytrack.tracking.errors import login_variables

_CLOCK_SECONDS = 60


def reachable(here: FolderSettings) -> Iterator[Check]:
    """Something answers, and it is MLflow; or a database does."""
    config = here.mlflow
    name, uri = "reachable", config.tracking_uri
    file = sqlite_file(uri)
    if file is not None and not file.exists():
        yield passed(name, f"{file} does not exist yet; the first run makes it")
    elif not uri.startswith("http"):
        try:
            database.check(uri)
            yield passed(name, "the database answers, without a server")
        except DspytrackError as error:
            yield failed_with(name, error, "start the database, or correct MLFLOW_TRACKING_URI")
    else:
        yield _over_http(here, config)


def version(here: FolderSettings) -> Iterator[Check]:
    """The server and the client are of one major version."""
    name, config, client = "server's version", here.mlflow, client_version()
    if not config.tracking_uri.startswith("http"):
        yield skipped(name, "there is no server; the client is the server")
        return
    answer = selftest.ask(config, "/version")
    server = answer.text.strip()
    if answer.code != 200 or not re.match(r"\d+\.\d+", server):
        yield skipped(name, f"the server does not report it ({answer.code})")
    elif server.split(".")[0] != client.split(".")[0]:
        yield failed(name, f"it is MLflow {server}, the client {client}", _upgrade(here, server, client))
    elif server.split(".")[:2] != client.split(".")[:2]:
        yield passed(name, f"MLflow {server}, client {client}: they are compatible")
    else:
        yield passed(name, f"MLflow {server}, client {client}")


def clock(here: FolderSettings) -> Iterator[Check]:
    """This machine and the server agree on the time."""
    config = here.mlflow
    if not config.tracking_uri.startswith("http"):
        yield skipped("clock", "there is no server")
        return
    date = selftest.ask(config, "/health").date
    if date is None:
        yield skipped("clock", "the server does not report its time")
        return
    ahead = (datetime.now(timezone.utc) - date).total_seconds()
    if abs(ahead) > _CLOCK_SECONDS:
        how = f"this machine is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the server"
        yield failed("clock", how, "set the one that is wrong: sudo timedatectl set-ntp true")
    else:
        yield passed("clock", f"within {_CLOCK_SECONDS} s of the server's")


def login(here: FolderSettings) -> Iterator[Check]:
    """The store accepts the login."""
    config = here.mlflow
    if sqlite_file(config.tracking_uri) is not None:
        yield skipped("login", "sqlite has none")
        return
    try:
        selftest.check_login(config)
    except UnreachableError as error:
        fix = _correct_login(here) if "(401)" in str(error) else None
        yield failed("login", error.what, fix) if fix else failed_with("login", error, _logs(here))
        return
    used = " and ".join(f"{name} ({here.source(name)})" for name in login_variables())
    yield passed("login", f"accepted: {used}" if used else "none is needed")


def _over_http(here: FolderSettings, config: MLflowConfig) -> Check:
    name = "reachable"
    try:
        health = selftest.ask(config, "/health")
    except UnreachableError as error:
        nothing_listens = "refused" in str(error)
        return failed_with(name, error, _start(here, config)) if nothing_listens else _other(here, config, error)
    if health.code in (401, 403) or (health.code == 200 and health.text.strip() == "OK"):
        return passed(name, f"{config.shown} answers")
    if health.code >= 500:
        return failed(name, f"{config.shown} answers {health.code} to /health", _logs(here))
    version = selftest.ask(config, "/version")
    if version.code in (200, 401) and re.match(r"\d+\.\d+|.*authenticated", version.text):
        return passed(name, f"{config.shown} answers")
    return _other(here, config, UnreachableError(f"what answers at {config.shown} is not MLflow ({health.code})"))


def _start(here: FolderSettings, config: MLflowConfig) -> str:
    """What to do where nothing listens."""
    if not is_loopback(urlparse(config.tracking_uri).hostname or ""):
        return f"correct MLFLOW_TRACKING_URI, or check that the server runs: curl -v {config.shown}/health"
    return _up(here)


def _other(here: FolderSettings, config: MLflowConfig, error: UnreachableError) -> Check:
    """Something listens but does not answer as MLflow: on this machine, another program has the port."""
    url = urlparse(config.tracking_uri)
    port = url.port or (443 if url.scheme == "https" else 80)
    holder = port_holder(port) if is_loopback(url.hostname or "") else None
    if holder is None or error.fix:
        return failed_with("reachable", error, _start(here, config))
    if _is_own_server(here, config):
        return failed_with("reachable", error, how_to_restart(here))
    detail = f"port {port} is in use by {holder}, which does not answer as MLflow does ({error})"
    return failed("reachable", detail, _up(here, "--port", str(next_free(port))))


def _is_own_server(here: FolderSettings, config: MLflowConfig) -> bool:
    """Whether the address is that of this folder's server, and it runs."""
    if here.server_kind is None:
        return False
    settings = resolve(ServerOptions(env_file=here.env_file), here.server_kind)
    return config.tracking_uri.rstrip("/") == settings.address and is_running(settings)


def _up(here: FolderSettings, *options: str) -> str:
    """The command that starts a server, with --local where Docker cannot be used."""
    kind = () if here.server_kind == "local" or docker_fault() is None else ("--local",)
    return here.server_command("up", *kind, *options)


def _logs(here: FolderSettings) -> str:
    return here.server_command("logs") if here.server_kind else "the server's own log says why"


def _upgrade(here: FolderSettings, server: str, client: str) -> str:
    if int(server.split(".")[0]) > int(client.split(".")[0]):
        return f"pip install --upgrade dspytrack, or start a server of MLflow {client}: {_up(here)}"
    if here.server_kind == "compose":
        return here.server_command("upgrade")
    return f"upgrade it to MLflow {client} (mlflow db upgrade, after a backup), or start one of your own: {_up(here)}"


def _correct_login(here: FolderSettings) -> str | None:
    """How to correct a rejected login, where the reason can be found out."""
    for name in login_variables():
        if "wins over" in here.source(name):
            return f"unset {name} (the environment hides what {here.env_file} says)"
    first = here.value("MLFLOW_AUTH_ADMIN_PASSWORD")
    if first and here.value("MLFLOW_TRACKING_PASSWORD") != first:
        return (
            f"in {here.env_file} set MLFLOW_TRACKING_USERNAME=admin, and MLFLOW_TRACKING_PASSWORD to the value of "
            "MLFLOW_AUTH_ADMIN_PASSWORD there (unless that was changed since)"
        )
    return None
