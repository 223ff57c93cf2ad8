"""What a server is to be: what was asked for, over the environment, over `.env.mlflow`, over the defaults.

`resolve` decides and writes nothing; `keep` writes what was decided into `.env.mlflow`, where the compose file,
the next command and `dspytrack optimize` find it.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlparse, urlunparse

from dspytrack.config.masking import masked
from dspytrack.errors import UsageError
from dspytrack.server import env_file as files
from dspytrack.server.network import is_loopback, local_names
from dspytrack.tracking import ENV_FILE

SECRETS = ("MLFLOW_DB_PASSWORD", "MLFLOW_AUTH_ADMIN_PASSWORD", "MLFLOW_FLASK_SERVER_SECRET_KEY")
_HIDDEN = (
    *SECRETS,
    "MLFLOW_S3_SECRET_ACCESS_KEY",
    "MLFLOW_TRACKING_PASSWORD",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
)
_DIRECT = ("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD")
_PRIVATE = "localhost,localhost:*,127.0.0.1,127.0.0.1:*,192.168.*,10.*," + ",".join(f"172.{n}.*" for n in range(16, 32))


@dataclass(frozen=True)
class Wish:
    """What a user asks of `server up`; None is "as it was, else the default"."""

    env_file: Path = ENV_FILE
    port: int | None = None
    host: str | None = None
    auth: bool | None = None
    insecure: bool = False
    artifacts: str | None = None
    with_s3: bool = False
    backend_store_uri: str | None = None


@dataclass(frozen=True)
class Settings:
    """A server as decided."""

    env_file: Path
    kind: str
    project: str
    version: str
    host: str
    port: int
    auth: bool
    artifacts: str | None
    s3_endpoint: str | None
    with_s3: bool
    backend_store_uri: str | None

    @property
    def address(self) -> str:
        """Where this machine reaches the server."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::", "localhost") else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def folder(self) -> Path:
        """Where the env file lies."""
        return self.env_file.resolve().parent

    @property
    def data_folder(self) -> Path:
        """Where a local server keeps its data, and backups of one in Docker are put."""
        return data_folder(self.env_file)

    @property
    def login(self) -> tuple[str, str] | None:
        """The admin's name and password, with basic auth."""
        name = files.effective(self.env_file, "MLFLOW_TRACKING_USERNAME")
        password = files.effective(self.env_file, "MLFLOW_TRACKING_PASSWORD")
        return (name, password) if self.auth and name and password else None


def client_version() -> str:
    """The installed MLflow's version, without importing it."""
    return version("mlflow")


def data_folder(env_file: Path) -> Path:
    """Where the local server of an env file keeps its data."""
    return env_file.resolve().parent / ".dspytrack" / "server"


def resolve(wish: Wish, kind: str) -> Settings:
    """Decide.

    Raises:
        UsageError: for a port or an artifact place that is none.
    """

    def known(name: str) -> str | None:
        return files.effective(wish.env_file, name)

    kept_s3 = wish.artifacts is None and bool(known("MLFLOW_SERVER_WITH_S3"))
    with_s3 = kind == "compose" and (wish.with_s3 or kept_s3)
    return Settings(
        env_file=wish.env_file,
        kind=kind,
        project=known("MLFLOW_SERVER_PROJECT") or _new_project(wish.env_file),
        version=known("MLFLOW_SERVER_VERSION") or client_version(),
        host=wish.host or known("MLFLOW_SERVER_HOST") or "127.0.0.1",
        port=wish.port or _port(known("MLFLOW_SERVER_PORT")),
        auth=wish.auth if wish.auth is not None else bool(known("MLFLOW_SERVER_AUTH")),
        artifacts="s3://mlflow/artifacts" if with_s3 else _artifacts(wish),
        s3_endpoint="http://s3:9000" if with_s3 else known("MLFLOW_S3_ENDPOINT_URL"),
        with_s3=with_s3,
        backend_store_uri=wish.backend_store_uri or known("MLFLOW_BACKEND_STORE_URI"),
    )


def check_exposure(settings: Settings, insecure: bool) -> None:
    """See that a server which others can reach has a login.

    Raises:
        UsageError: where it has none and that was not asked for.
    """
    if not is_loopback(settings.host) and not settings.auth and not insecure:
        raise UsageError(
            f"a server on {settings.host} without a login is open to everybody who can reach this machine; "
            "add --auth (or --insecure, if that is what you want)"
        )


def keep(settings: Settings) -> list[str]:
    """Write the decision into the env file, and what `complete` adds.

    Raises:
        UsageError: where the file cannot be written.
    """
    values = {
        "MLFLOW_SERVER_KIND": settings.kind,
        "MLFLOW_SERVER_PROJECT": settings.project,
        "MLFLOW_SERVER_VERSION": settings.version,
        "MLFLOW_SERVER_HOST": settings.host,
        "MLFLOW_SERVER_PORT": str(settings.port),
        "MLFLOW_SERVER_AUTH": "basic-auth" if settings.auth else "",
        "MLFLOW_SERVER_S3_ENDPOINT_URL": for_container(settings.s3_endpoint) if settings.artifacts else "",
        "MLFLOW_ARTIFACTS_DESTINATION": settings.artifacts or "",
        "MLFLOW_BACKEND_STORE_URI": settings.backend_store_uri or "",
    }
    if settings.with_s3:
        values["MLFLOW_SERVER_WITH_S3"] = "1"
    elif settings.kind == "compose":  # the store's own keys must not reach another store
        values |= dict.fromkeys(("MLFLOW_SERVER_WITH_S3", "MLFLOW_S3_ACCESS_KEY_ID", "MLFLOW_S3_SECRET_ACCESS_KEY"), "")
    there = files.read(settings.env_file)
    files.put(settings.env_file, {name: value for name, value in values.items() if value or name in there})
    return complete(settings)


def complete(settings: Settings) -> list[str]:
    """Write what the server needs and the env file lacks: secrets, made once, and the names it answers to.

    Returns:
        What was missing.

    Raises:
        UsageError: where the file cannot be written.
    """
    wanted: dict[str, str | Callable[[], str]] = dict.fromkeys(SECRETS, files.new_secret)
    if not is_loopback(settings.host):
        wanted |= _reachable_by_name(settings.port)
    if settings.with_s3:
        wanted |= {"MLFLOW_S3_ACCESS_KEY_ID": "mlflow", "MLFLOW_S3_SECRET_ACCESS_KEY": files.new_secret}
    return files.extend(settings.env_file, wanted)


def publish(settings: Settings) -> tuple[str, ...]:
    """Make the server the one that `optimize` uses; says what else decides that, if anything does.

    Raises:
        UsageError: where the file cannot be written.
    """
    there = files.read(settings.env_file)
    values = {"MLFLOW_TRACKING_URI": settings.address}
    has_login = "MLFLOW_TRACKING_PASSWORD" in there and there.get("MLFLOW_TRACKING_URI") == settings.address
    if settings.auth and not has_login:  # a login that is there may be newer than the first password
        admin = files.effective(settings.env_file, "MLFLOW_AUTH_ADMIN_PASSWORD") or ""
        values |= {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": admin}
    replaced = files.put(settings.env_file, values)
    if settings.artifacts and settings.s3_endpoint:
        # MLflow's server hands out links to the S3 store itself, and its client follows them. A store of one's own
        # may have an address that only the server knows: then everything has to pass through the server.
        files.extend(settings.env_file, dict.fromkeys(_DIRECT, "false"))
    notes = []
    if "MLFLOW_TRACKING_URI" in replaced:
        notes.append(f"{settings.env_file} named another server; its line stays there as a comment")
    if os.environ.get("MLFLOW_TRACKING_URI", settings.address) != settings.address:
        notes.append("MLFLOW_TRACKING_URI is set to another server in the environment, which wins; unset it")
    if settings.kind == "compose" and settings.version != client_version():
        notes.append(
            f"the server is MLflow {settings.version}, the client {client_version()}: dspytrack server upgrade"
        )
    return tuple(notes)


def without_secrets(text: str, env_file: Path) -> str:
    """A text with every secret of the env file and the environment masked."""
    return masked(text, [files.effective(env_file, name) or "" for name in _HIDDEN])


def for_container(endpoint: str | None) -> str:
    """An S3 address of this machine as a container calls it."""
    place = urlparse(endpoint or "")
    if not place.hostname or not is_loopback(place.hostname):
        return endpoint or ""
    port = f":{place.port}" if place.port else ""
    return urlunparse(place._replace(netloc=f"host.docker.internal{port}"))


def _artifacts(wish: Wish) -> str | None:
    adds_store = files.effective(wish.env_file, "MLFLOW_SERVER_WITH_S3")  # the place kept is a container's then
    named = wish.artifacts or (None if adds_store else files.effective(wish.env_file, "MLFLOW_ARTIFACTS_DESTINATION"))
    if named is None:
        location = files.effective(wish.env_file, "MLFLOW_ARTIFACT_LOCATION") or ""
        return location if location.startswith("s3://") else None
    if not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]+(/\S*)?", named):
        raise UsageError(f"--artifacts: expected s3://bucket/path, not `{named}`")
    return named


def _port(text: str | None) -> int:
    if text is None:
        return 5000
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise UsageError(f"MLFLOW_SERVER_PORT: expected a port such as 5000, not `{text}`")
    return int(text)


def _new_project(env_file: Path) -> str:
    """A compose project of this folder's own: two folders never share a database."""
    folder = re.sub(r"[^a-z0-9]+", "-", env_file.resolve().parent.name.lower()).strip("-")
    return "-".join(part for part in ("dspytrack", folder[:30].strip("-"), secrets.token_hex(3)) if part)


def _reachable_by_name(port: int) -> dict[str, str]:
    """MLflow 3 answers only to hosts and browser origins that it knows; loopback and private addresses by default."""
    names = local_names()
    hosts = [pattern for name in names for pattern in (name, f"{name}:*")]
    return {
        "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join([_PRIVATE, *hosts]),
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": ",".join(f"http://{name}:{port}" for name in names),
    }
