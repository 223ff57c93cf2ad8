"""Checks of the server that `dspytrack server up` started for this folder: each of its services runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from urllib.parse import urlparse

from dspytrack.doctor.check import Check, failed, failed_with, passed, skipped
from dspytrack.doctor.folder_settings import FolderSettings
from dspytrack.errors import UnreachableError
from dspytrack.server.compose.project import ComposeProject
from dspytrack.server.local.database import store_uri
from dspytrack.server.local.process import running_pid
from dspytrack.server.settings import Kind, ServerOptions, Settings, resolve, saved_kind
from dspytrack.tracking import database


def services(here: FolderSettings) -> Iterator[Check]:
    """Each service of this folder's server runs.

    Raises:
        UsageError: where the server's settings are wrong.
        UnreachableError: where Docker does not answer.
    """
    kind = saved_kind(here.env_file)
    if kind is None:
        yield skipped("server", f"none was started in this folder; to start one: {here.server_command('up')}")
        return
    settings = resolve(ServerOptions(env_file=here.env_file), kind)
    if here.config is not None and here.config.tracking_uri.rstrip("/") != settings.address:
        yield skipped("server", f"this folder's is at {settings.address}; runs go elsewhere")
    else:
        yield from _SERVICES[kind](here, settings)


def is_running(settings: Settings) -> bool:
    """Whether the server runs, healthy or not.

    Raises:
        UnreachableError: where Docker does not answer.
    """
    return _IS_RUNNING[settings.kind](settings)


def _containers(here: FolderSettings, settings: Settings) -> Iterator[Check]:
    containers = {one.service: one for one in ComposeProject(settings).containers()}
    for service in ("postgres", "mlflow", *(["s3"] if settings.with_s3 else [])):
        name, one = f"server: {service}", containers.get(service)
        if one is not None and one.is_healthy:
            yield passed(name, f"running and healthy ({one.image})")
        elif one is not None and one.state == "running":
            yield failed(name, f"the service {service} is running, {one.health}", how_to_restart(here, service))
        else:
            how = "missing" if one is None else one.state
            yield failed(name, f"the service {service} is {how}", here.server_command("up"))


def how_to_restart(here: FolderSettings, *service: str) -> str:
    """How to find out why a running server (or one of its services) does not answer, and to start it anew."""
    logs, down, up = here.server_command("logs", *service), here.server_command("down"), here.server_command("up")
    return f"{logs} says why; {down}, then {up}"


def _processes(here: FolderSettings, settings: Settings) -> Iterator[Check]:
    uri = store_uri(settings)
    try:
        database.check(uri)
    except UnreachableError as error:
        url = urlparse(uri)
        fix = f"start the PostgreSQL on {url.hostname}:{url.port or 5432}, then {here.server_command('up')}"
        yield failed_with("server: database", error, fix)
        return
    if settings.backend_store_uri:
        yield passed("server: database", "it answers and accepts the login")
    pid = running_pid(settings.data_folder)
    if pid is None:
        yield failed("server: mlflow", "the process has ended", here.server_command("up"))
    else:
        yield passed("server: mlflow", f"running (process {pid})")


def _has_mlflow_container(settings: Settings) -> bool:
    containers = ComposeProject(settings).containers()
    return any(one.service == "mlflow" and one.state == "running" for one in containers)


def _has_process(settings: Settings) -> bool:
    return running_pid(settings.data_folder) is not None


_SERVICES: Mapping[Kind, Callable[[FolderSettings, Settings], Iterator[Check]]] = {
    "compose": _containers,
    "local": _processes,
}
_IS_RUNNING: Mapping[Kind, Callable[[Settings], bool]] = {"compose": _has_mlflow_container, "local": _has_process}
