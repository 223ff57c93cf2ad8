"""Writes a server's settings into `.env.mlflow`, where the compose file, the next command and `optimize` find them.

Deciding the settings is `settings`'; how a line of the file is changed is `env_file`'s.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from dspytrack.server.env_file import add_missing, effective_value, new_secret, read_values, set_values
from dspytrack.server.network import is_loopback, local_names
from dspytrack.server.settings import Settings, client_version, for_container

_SECRETS = ("MLFLOW_DB_PASSWORD", "MLFLOW_AUTH_ADMIN_PASSWORD", "MLFLOW_FLASK_SERVER_SECRET_KEY")
_DIRECT = ("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD")
_PRIVATE = "localhost,localhost:*,127.0.0.1,127.0.0.1:*,192.168.*,10.*," + ",".join(f"172.{n}.*" for n in range(16, 32))


def save(settings: Settings) -> None:
    """Write the settings into the env file, and what `add_secrets` adds.

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
    elif settings.kind == "compose":  # keys made for the added store must not reach another store
        values |= dict.fromkeys(("MLFLOW_SERVER_WITH_S3", "MLFLOW_S3_ACCESS_KEY_ID", "MLFLOW_S3_SECRET_ACCESS_KEY"), "")
    present = read_values(settings.env_file)
    set_values(settings.env_file, {name: value for name, value in values.items() if value or name in present})
    add_secrets(settings)


def add_secrets(settings: Settings) -> None:
    """Write what the server needs and the env file lacks: secrets, made once, and the host names it answers to.

    Raises:
        UsageError: where the file cannot be written.
    """
    wanted: dict[str, str | Callable[[], str]] = dict.fromkeys(_SECRETS, new_secret)
    if not is_loopback(settings.host):
        wanted |= _reachable_by_name(settings.port)
    if settings.with_s3:
        wanted |= {"MLFLOW_S3_ACCESS_KEY_ID": "mlflow", "MLFLOW_S3_SECRET_ACCESS_KEY": new_secret}
    add_missing(settings.env_file, wanted)


def publish(settings: Settings) -> tuple[str, ...]:
    """Make the server the one that `optimize` uses.

    Returns:
        Notes for the user, such as that the environment names another server.

    Raises:
        UsageError: where the file cannot be written.
    """
    present = read_values(settings.env_file)
    values = {"MLFLOW_TRACKING_URI": settings.address}
    has_login = "MLFLOW_TRACKING_PASSWORD" in present and present.get("MLFLOW_TRACKING_URI") == settings.address
    if settings.auth and not has_login:  # else the password may have been changed since the first start
        admin = effective_value(settings.env_file, "MLFLOW_AUTH_ADMIN_PASSWORD") or ""
        values |= {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": admin}
    replaced = set_values(settings.env_file, values)
    if settings.artifacts and settings.s3_endpoint:
        # MLflow's server answers with links to the S3 store itself, and its client follows them. A store other than
        # Amazon's may have an address that only the server can reach, so everything has to pass through the server.
        add_missing(settings.env_file, dict.fromkeys(_DIRECT, "false"))
    notes = []
    if "MLFLOW_TRACKING_URI" in replaced:
        notes.append(f"{settings.env_file} named another tracking server; its line is now a comment there")
    if os.environ.get("MLFLOW_TRACKING_URI", settings.address) != settings.address:
        notes.append("MLFLOW_TRACKING_URI names another server in the environment, which wins; unset it")
    if settings.kind == "compose" and settings.version != client_version():
        notes.append(
            f"the server is MLflow {settings.version}, the client {client_version()}: dspytrack server upgrade"
        )
    return tuple(notes)


def _reachable_by_name(port: int) -> dict[str, str]:
    """Settings that let others in by this machine's names: MLflow answers only to hosts and origins it is given."""
    names = local_names()
    hosts = [pattern for name in names for pattern in (name, f"{name}:*")]
    return {
        "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join([_PRIVATE, *hosts]),
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": ",".join(f"http://{name}:{port}" for name in names),
    }
