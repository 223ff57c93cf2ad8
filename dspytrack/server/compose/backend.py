"""The server in Docker Compose: start, stop, look, read its log. Backups and upgrades are in `backup`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dspytrack.errors import NotFoundError, UnreachableError, UsageError
from dspytrack.server import env_file as files
from dspytrack.server.bucket import check_here, check_inside
from dspytrack.server.compose.engine import SERVICES_FILE, Container, Engine, unknown_service
from dspytrack.server.compose.start import is_healthy, start
from dspytrack.server.network import check_port, get
from dspytrack.server.settings import Settings, Wish, check_exposure, client_version, keep, publish, resolve
from dspytrack.server.status import Progress, ServerStatus, Service
from dspytrack.tracking import ENV_FILE

_DATA = {"postgres": "/var/lib/postgresql/data", "mlflow": "/mlflow", "s3": "/data"}
_NEEDED = {"postgres", "mlflow"}


def up(wish: Wish, progress: Progress) -> ServerStatus:
    """Start a healthy server, whatever was there before, and make it the one that `optimize` uses.

    Raises:
        UsageError: for what was asked, a port in use, or an env file that cannot be written.
        UnreachableError: where Docker, an image, the bucket or a service fails, with the reason.
    """
    if wish.with_s3 and wish.artifacts:
        raise UsageError("--with-s3 adds a store and --artifacts names another: give one of them")
    if wish.backend_store_uri:
        raise UsageError("--backend-store-uri is for --local; in Docker the server has a PostgreSQL of its own")
    settings = resolve(wish, "compose")
    check_exposure(settings, wish.insecure)
    engine = Engine(settings)
    engine.check()
    ours = any(found.service == "mlflow" and found.state == "running" for found in engine.containers())
    if not ours or files.read(settings.env_file).get("MLFLOW_SERVER_PORT") != str(settings.port):
        check_port(settings.host, settings.port)
    if settings.artifacts and not settings.with_s3:
        progress(f"checking {settings.artifacts}")
        check_here(settings)
    keep(settings)
    if settings.artifacts and not settings.with_s3:
        engine.pull_missing(progress)
        check_inside(engine)
    start(engine, progress)
    return status(settings.env_file, notes=publish(settings))


def down(env_file: Path = ENV_FILE, delete_data: bool = False) -> None:
    """Stop the server; its data stays unless it is to be deleted.

    Raises:
        UnreachableError: where Docker does not answer.
    """
    engine = Engine(resolve(Wish(env_file=env_file, with_s3=True), "compose"))
    engine.check()
    engine.compose("down", *(["--volumes"] if delete_data else []))


def status(env_file: Path = ENV_FILE, notes: tuple[str, ...] = ()) -> ServerStatus:
    """How the server does now.

    Raises:
        UnreachableError: where Docker does not answer.
    """
    settings = resolve(Wish(env_file=env_file), "compose")
    engine = Engine(settings)
    engine.check()
    containers = engine.containers()
    services = tuple(
        Service(found.service, found.state, found.health, found.image, _data_bytes(engine, found))
        for found in sorted(containers, key=lambda found: found.service)
    )
    return ServerStatus(
        kind="compose",
        address=settings.address,
        healthy={found.service for found in containers} >= _NEEDED and all(map(is_healthy, containers)),
        auth=settings.auth,
        version=get(f"{settings.address}/version", settings.login),
        client_version=client_version(),
        runs=_run_count(engine, containers),
        artifacts=_artifacts(settings),
        services=services,
        notes=notes,
    )


def logs(env_file: Path = ENV_FILE, service: str | None = None, follow: bool = False) -> Iterator[str]:
    """The lines of the log, secrets masked.

    Raises:
        NotFoundError: where the server is down.
        UsageError: for a service that is none.
        UnreachableError: where Docker does not answer.
    """
    engine = Engine(resolve(Wish(env_file=env_file), "compose"))
    engine.check()
    if not engine.containers():
        raise NotFoundError("no log: the server is down; start it: dspytrack server up")
    known = engine.compose("config", "--services").split()
    if service is not None and service not in known:
        raise unknown_service(service, sorted(known))
    options = ["--no-color", *(["--follow"] if follow else []), *([service] if service else [])]
    yield from engine.stream("logs", *options)


def write_compose(out: Path) -> list[Path]:
    """Write the compose files and their `.env.mlflow`, for `docker compose -f docker-compose.mlflow.yml up -d`.

    Returns:
        The files.

    Raises:
        UsageError: where another file of that name is there, or none can be written.
    """
    settings = resolve(Wish(env_file=out / ENV_FILE.name), "compose")
    main = SERVICES_FILE.with_name("docker-compose.mlflow.yml")
    named = main.read_text(encoding="utf-8").replace(
        "MLFLOW_SERVER_PROJECT:-mlflow}", f"MLFLOW_SERVER_PROJECT:-{settings.project}}}"
    )
    written = {out / main.name: named, out / SERVICES_FILE.name: SERVICES_FILE.read_text(encoding="utf-8")}
    for file, text in written.items():
        if file.is_file() and file.read_text(encoding="utf-8") != text:
            raise UsageError(f"{file} is there and differs; move it away, or name another folder with -o")
    keep(settings)
    publish(settings)
    for file, text in written.items():
        file.write_text(text, encoding="utf-8")
    return [*written, settings.env_file]


def _artifacts(settings: Settings) -> str:
    if settings.with_s3:
        return f"{settings.artifacts} (the volume s3-data)"
    return settings.artifacts or "the volume mlflow-data"


def _data_bytes(engine: Engine, found: Container) -> int | None:
    if found.state != "running" or found.service not in _DATA:
        return None
    try:
        printed = engine.compose("exec", "-T", found.service, "du", "-sk", _DATA[found.service])
    except UnreachableError:  # `du` fails where a file goes while it counts
        return None
    return int(printed.split()[0]) * 1024


def _run_count(engine: Engine, containers: list[Container]) -> int | None:
    if not any(found.service == "postgres" and is_healthy(found) for found in containers):
        return None
    query = "SELECT count(*) FROM runs WHERE lifecycle_stage = 'active'"
    try:
        return int(engine.compose("exec", "-T", "postgres", "psql", "-U", "mlflow", "-d", "mlflow", "-tAc", query))
    except UnreachableError:  # no such table before the first start
        return None
