"""The tracking server: its parts, whether it answers and is MLflow, its version, its clock, the login."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import urlparse

from dspytrack.doctor.check import Check, Place, broken, failed, passed, skipped
from dspytrack.doctor.machine import has_docker
from dspytrack.errors import DspytrackError, UnreachableError
from dspytrack.server.compose.engine import Engine
from dspytrack.server.compose.start import is_healthy
from dspytrack.server.local import backend as local
from dspytrack.server.network import holder_of, is_loopback, next_free
from dspytrack.server.settings import Settings, Wish, client_version, resolve
from dspytrack.server.store import store_uri
from dspytrack.tracking import database, selftest
from dspytrack.tracking.config import MLflowConfig
from dspytrack.tracking.errors import login_variables

_CLOCK_SECONDS = 60
_SQLITE = re.compile(r"sqlite:///(.+)")


def parts(place: Place) -> Iterator[Check]:
    """Each part of the server that this folder started runs."""
    kind = place.server_kind
    if kind is None:
        yield skipped("server", f"none was started in this folder; one is: {place.server('up')}")
        return
    settings = resolve(Wish(env_file=place.env_file), kind)
    if place.config is not None and place.config.tracking_uri.rstrip("/") != settings.address:
        yield skipped("server", f"this folder's is at {settings.address}; runs go elsewhere")
    else:
        yield from _local_parts(place, settings) if kind == "local" else _containers(place, settings)


def _containers(place: Place, settings: Settings) -> Iterator[Check]:
    found = {one.service: one for one in Engine(settings).containers()}
    for service in ("postgres", "mlflow", *(["s3"] if settings.with_s3 else [])):
        name, one = f"server: {service}", found.get(service)
        if one is not None and is_healthy(one):
            yield passed(name, f"running and healthy ({one.image})")
            continue
        how = "not there" if one is None else one.state if one.state != "running" else f"running, {one.health}"
        mend = place.server("up")
        if one is not None and one.state == "running":
            mend = f"{place.server('logs', service)} says why; {place.server('down')}, then {place.server('up')}"
        yield failed(name, f"the service {service} is {how}", mend)


def _local_parts(place: Place, settings: Settings) -> Iterator[Check]:
    uri = store_uri(settings, settings.data_folder)
    try:
        database.check(uri)
    except UnreachableError as error:
        at = urlparse(uri)
        mend = f"start the PostgreSQL on {at.hostname}:{at.port or 5432}, then {place.server('up')}"
        yield broken("server: database", error, mend)
        return  # the status of the rest would wait for it
    if settings.backend_store_uri:
        yield passed("server: database", "it answers and takes the login")
    [process] = local.status(place.env_file).services
    if process.state == "exited":
        yield failed("server: mlflow", "the process has ended", place.server("up"))
    else:
        yield passed("server: mlflow", process.state)


def reachable(place: Place) -> Iterator[Check]:
    """Something answers, and it is MLflow; or a database does."""
    config = place.config
    assert config is not None
    name, uri = "reachable", config.tracking_uri
    found = _SQLITE.match(uri)
    if found and not Path(found.group(1)).exists():
        yield passed(name, f"{found.group(1)} is not there yet; the first run makes it")
    elif not uri.startswith("http"):
        try:
            database.check(uri)
            yield passed(name, "the database answers, without a server")
        except DspytrackError as error:
            yield broken(name, error, "start the database, or correct MLFLOW_TRACKING_URI")
    else:
        yield _over_http(place, config)


def _over_http(place: Place, config: MLflowConfig) -> Check:
    name = "reachable"
    try:
        health = selftest.ask(config, "/health")
    except DspytrackError as error:
        refused = "refused" in str(error)
        return broken(name, error, _start(place, config)) if refused else _stranger(place, config, error)
    if health.code in (401, 403) or (health.code == 200 and health.text.strip() == "OK"):
        return passed(name, f"{config.shown} answers")
    if health.code >= 500:
        return failed(name, f"{config.shown} answers {health.code} to /health", _logs(place))
    version = selftest.ask(config, "/version")
    if version.code in (200, 401) and re.match(r"\d+\.\d+|.*authenticated", version.text):
        return passed(name, f"{config.shown} answers")
    return _stranger(place, config, UnreachableError(f"what answers at {config.shown} is not MLflow ({health.code})"))


def _start(place: Place, config: MLflowConfig) -> str:
    """What to do where nothing listens."""
    if not is_loopback(urlparse(config.tracking_uri).hostname or ""):
        return f"correct MLFLOW_TRACKING_URI, or see whether the server runs: curl -v {config.shown}/health"
    return place.server("up", *_kind(place))


def _stranger(place: Place, config: MLflowConfig, error: DspytrackError) -> Check:
    """Something listens and does not answer as MLflow: on this machine, another program has the port."""
    at = urlparse(config.tracking_uri)
    port = at.port or (443 if at.scheme == "https" else 80)
    holder = holder_of(port) if is_loopback(at.hostname or "") else None
    if holder is None or getattr(error, "mend", None):
        return broken("reachable", error, _start(place, config))
    if _is_ours(place, config):
        mend = f"{place.server('logs')} says why; {place.server('down')}, then {place.server('up')}"
        return broken("reachable", error, mend)
    detail = f"port {port} is in use by {holder}, which does not answer as MLflow does ({error})"
    return failed("reachable", detail, place.server("up", *_kind(place), "--port", str(next_free(port))))


def _is_ours(place: Place, config: MLflowConfig) -> bool:
    """Whether the address is that of this folder's server, and that runs."""
    if place.server_kind is None:
        return False
    settings = resolve(Wish(env_file=place.env_file), place.server_kind)
    if config.tracking_uri.rstrip("/") != settings.address:
        return False
    if place.server_kind == "local":
        return local.status(place.env_file).running
    return any(one.service == "mlflow" and one.state == "running" for one in Engine(settings).containers())


def _kind(place: Place) -> tuple[str, ...]:
    return () if place.server_kind == "local" or has_docker() else ("--local",)


def _logs(place: Place) -> str:
    return place.server("logs") if place.server_kind else "the server's own log says why"


def version(place: Place) -> Iterator[Check]:
    """The server and the client are of one major version."""
    config, client = place.config, client_version()
    assert config is not None
    if not config.tracking_uri.startswith("http"):
        yield skipped("server's version", "there is no server; the client is the server")
        return
    answer = selftest.ask(config, "/version")
    told = answer.text.strip()
    if answer.code != 200 or not re.match(r"\d+\.\d+", told):
        yield skipped("server's version", f"it does not tell ({answer.code})")
    elif told.split(".")[0] != client.split(".")[0]:
        yield failed("server's version", f"it is MLflow {told}, the client {client}", _upgrade(place, told, client))
    elif told.split(".")[:2] != client.split(".")[:2]:
        yield passed("server's version", f"MLflow {told}, client {client}: they understand each other")
    else:
        yield passed("server's version", f"MLflow {told}, client {client}")


def _upgrade(place: Place, told: str, client: str) -> str:
    if int(told.split(".")[0]) > int(client.split(".")[0]):
        return (
            f"pip install --upgrade dspytrack, or have a server of MLflow {client}: {place.server('up', *_kind(place))}"
        )
    if place.server_kind == "compose":
        return place.server("upgrade")
    own = place.server("up", *_kind(place))
    return f"upgrade it to MLflow {client} (mlflow db upgrade, after a backup), or have one of your own: {own}"


def clock(place: Place) -> Iterator[Check]:
    """This machine and the server agree on the time."""
    config = place.config
    assert config is not None
    date = selftest.ask(config, "/health").date if config.tracking_uri.startswith("http") else None
    if date is None:
        yield skipped("clock", "the server tells no time" if config.tracking_uri.startswith("http") else "no server")
        return
    ahead = (datetime.now(timezone.utc) - date).total_seconds()
    if abs(ahead) > _CLOCK_SECONDS:
        how = f"this machine is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the server"
        yield failed("clock", how, "set the one that is wrong: sudo timedatectl set-ntp true")
    else:
        yield passed("clock", f"within {_CLOCK_SECONDS} s of the server's")


def accepted(place: Place) -> Iterator[Check]:
    """The store lets us in."""
    config = place.config
    assert config is not None
    found = _SQLITE.match(config.tracking_uri)
    if found:
        yield skipped("login", "sqlite has none")
        return
    try:
        selftest.check_login(config)
    except DspytrackError as error:
        mend = _correct_login(place) if "(401)" in str(error) else None
        if mend is None:
            yield broken("login", error, _logs(place))
        else:
            yield failed("login", getattr(error, "what", str(error)), mend)
        return
    used = " and ".join(f"{name} ({place.source(name)})" for name in login_variables())
    yield passed("login", f"accepted: {used}" if used else "none is asked for")


def _correct_login(place: Place) -> str | None:
    """What is wrong with a login that was refused, where that can be told."""
    for name in login_variables():
        if "wins over" in place.source(name):
            return f"unset {name} (the environment hides what {place.env_file} says)"
    first = place.value("MLFLOW_AUTH_ADMIN_PASSWORD")
    if first and place.value("MLFLOW_TRACKING_PASSWORD") != first:
        return (
            f"in {place.env_file} set MLFLOW_TRACKING_USERNAME=admin, and MLFLOW_TRACKING_PASSWORD to the value of "
            "MLFLOW_AUTH_ADMIN_PASSWORD there (unless that was changed since)"
        )
    return None
