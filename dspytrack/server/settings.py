"""The settings of a server: options of the command, over the environment, over `.env.mlflow`, over the defaults.

`resolve` decides and writes nothing; writing the decision down is `save`'s.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal, cast, get_args
from urllib.parse import urlparse, urlunparse

from dspytrack.config.masking import masked
from dspytrack.config.secrets import is_secret_variable
from dspytrack.errors import NotFoundError, UsageError
from dspytrack.server.env_file import effective_value, read_values
from dspytrack.server.network import is_loopback
from dspytrack.tracking import ENV_FILE

Kind = Literal["compose", "local"]


@dataclass(frozen=True)
class ServerOptions:
    """The options of `server up`; None is "as it was, else the default"."""

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
    """The settings of a server, all decided."""

    env_file: Path
    kind: Kind
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
        """The URL at which this machine reaches the server."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::", "localhost") else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def folder(self) -> Path:
        """The env file's folder."""
        return self.env_file.resolve().parent

    @property
    def data_folder(self) -> Path:
        """The folder for a local server's data, and for backups of one in Docker before an upgrade."""
        return data_folder(self.env_file)

    @property
    def login(self) -> tuple[str, str] | None:
        """The admin's name and password, with basic auth."""
        name = effective_value(self.env_file, "MLFLOW_TRACKING_USERNAME")
        password = effective_value(self.env_file, "MLFLOW_TRACKING_PASSWORD")
        return (name, password) if self.auth and name and password else None


def client_version() -> str:
    """The installed MLflow's version, without importing it."""
    return version("mlflow")


def data_folder(env_file: Path) -> Path:
    """The folder in which the local server of an env file keeps its data."""
    return env_file.resolve().parent / ".dspytrack" / "server"


def saved_kind(env_file: Path) -> Kind | None:
    """The kind of server that was started with this env file; None where none was.

    Raises:
        UsageError: for an unknown kind.
    """
    named = effective_value(env_file, "MLFLOW_SERVER_KIND")
    if named is not None and named not in get_args(Kind):
        raise UsageError(f"MLFLOW_SERVER_KIND: expected {' or '.join(get_args(Kind))}, not `{named}`")
    return cast("Kind | None", named)


def started_kind(env_file: Path) -> Kind:
    """The kind of server that was started with this env file.

    Raises:
        NotFoundError: where none was.
        UsageError: for an unknown kind.
    """
    kind = saved_kind(env_file)
    if kind is None:
        raise NotFoundError(
            f"no server was started in this folder ({env_file} names none); start one: dspytrack server up"
        )
    return kind


def resolve(options: ServerOptions, kind: Kind) -> Settings:
    """Decide the settings of a server.

    Raises:
        UsageError: for a port out of range, or artifacts that are not at s3://bucket/path.
    """

    def known(name: str) -> str | None:
        return effective_value(options.env_file, name)

    saved_s3 = options.artifacts is None and bool(known("MLFLOW_SERVER_WITH_S3"))
    with_s3 = kind == "compose" and (options.with_s3 or saved_s3)
    return Settings(
        env_file=options.env_file,
        kind=kind,
        project=known("MLFLOW_SERVER_PROJECT") or _new_project(options.env_file),
        version=known("MLFLOW_SERVER_VERSION") or client_version(),
        host=options.host or known("MLFLOW_SERVER_HOST") or "127.0.0.1",
        port=options.port or _port(known("MLFLOW_SERVER_PORT")),
        auth=options.auth if options.auth is not None else bool(known("MLFLOW_SERVER_AUTH")),
        artifacts="s3://mlflow/artifacts" if with_s3 else _artifacts(options),
        s3_endpoint="http://s3:9000" if with_s3 else known("MLFLOW_S3_ENDPOINT_URL"),
        with_s3=with_s3,
        backend_store_uri=options.backend_store_uri or known("MLFLOW_BACKEND_STORE_URI"),
    )


def check_exposure(settings: Settings, insecure: bool) -> None:
    """See that a server which others can reach has a login.

    Raises:
        UsageError: where it has none, without `insecure`.
    """
    if not is_loopback(settings.host) and not settings.auth and not insecure:
        raise UsageError(
            f"a server on {settings.host} without a login is open to everyone who can reach this machine; "
            "add --auth (or --insecure, if that is what you want)"
        )


def without_secrets(text: str, env_file: Path) -> str:
    """A text with the secrets of the env file and the environment masked."""
    return masked(text, [value for name, value in read_values(env_file).items() if is_secret_variable(name, value)])


def for_container(endpoint: str | None) -> str:
    """An S3 endpoint as a container reaches it: loopback there is the container, not this machine."""
    url = urlparse(endpoint or "")
    if not url.hostname or not is_loopback(url.hostname):
        return endpoint or ""
    port = f":{url.port}" if url.port else ""
    return urlunparse(url._replace(netloc=f"host.docker.internal{port}"))


def _artifacts(options: ServerOptions) -> str | None:
    has_added_store = effective_value(options.env_file, "MLFLOW_SERVER_WITH_S3")  # the saved value is that store's
    saved = None if has_added_store else effective_value(options.env_file, "MLFLOW_ARTIFACTS_DESTINATION")
    named = options.artifacts or saved
    if named is None:
        location = effective_value(options.env_file, "MLFLOW_ARTIFACT_LOCATION") or ""
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
    """A compose project name for this folder alone: two folders never share a database."""
    folder = re.sub(r"[^a-z0-9]+", "-", env_file.resolve().parent.name.lower()).strip("-")
    return "-".join(part for part in ("dspytrack", folder[:30].strip("-"), secrets.token_hex(3)) if part)
