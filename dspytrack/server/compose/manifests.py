"""The compose files of a server, written out of the package with the `.env.mlflow` they read."""

from __future__ import annotations

from pathlib import Path

from dspytrack.server.compose.project import SERVICES_FILE
from dspytrack.server.save import publish, save
from dspytrack.server.settings import ServerOptions, resolve
from dspytrack.server.written_files import write_files
from dspytrack.tracking import ENV_FILE

MAIN_FILE = SERVICES_FILE.with_name("docker-compose.mlflow.yml")


def write_compose(out: Path) -> list[Path]:
    """Write the compose files and their `.env.mlflow`, for `docker compose -f docker-compose.mlflow.yml up -d`.

    Returns:
        The files.

    Raises:
        UsageError: for a file that would be overwritten with something else, or where one cannot be written.
    """
    settings = resolve(ServerOptions(env_file=out / ENV_FILE.name), "compose")
    default = "MLFLOW_SERVER_PROJECT:-mlflow}"
    main = MAIN_FILE.read_text(encoding="utf-8").replace(default, f"MLFLOW_SERVER_PROJECT:-{settings.project}}}")
    services = SERVICES_FILE.read_text(encoding="utf-8")
    written = write_files({out / MAIN_FILE.name: main, out / SERVICES_FILE.name: services})
    save(settings)
    publish(settings)
    return [*written, settings.env_file]
