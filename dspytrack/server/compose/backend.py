"""The server in Docker Compose: start, stop, status, logs.

Docker itself is `project`'s, waiting for health `start`'s; backups and upgrades have modules of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dspytrack.errors import NotFoundError, UnreachableError, UsageError
from dspytrack.server import s3_selftest
from dspytrack.server.backend import OnProgress, ServerStatus, Service
from dspytrack.server.bucket import check_bucket
from dspytrack.server.compose.project import ComposeProject, Container
from dspytrack.server.compose.start import start
from dspytrack.server.env_file import read_values
from dspytrack.server.network import get
from dspytrack.server.ports import check_port
from dspytrack.server.save import publish, save
from dspytrack.server.settings import ServerOptions, Settings, check_exposure, client_version, resolve

_DATA = {"postgres": "/var/lib/postgresql/data", "mlflow": "/mlflow", "s3": "/data"}
_NEEDED = {"postgres", "mlflow"}


def up(options: ServerOptions, progress: OnProgress) -> ServerStatus:
    """Start a healthy server, whatever was there before, and make it the one that `optimize` uses.

    Raises:
        UsageError: for options that do not fit, a port in use, or an env file that cannot be written.
        UnreachableError: where Docker, an image, the bucket or a service fails, with the reason.
    """
    if options.with_s3 and options.artifacts:
        raise UsageError("--with-s3 adds a store and --artifacts names another: give one of them")
    if options.backend_store_uri:
        raise UsageError("--backend-store-uri is for --local; in Docker the server has a PostgreSQL of its own")
    settings = resolve(options, "compose")
    check_exposure(settings, options.insecure)
    project = ComposeProject(settings)
    project.check()
    runs_already = any(found.service == "mlflow" and found.state == "running" for found in project.containers())
    if not runs_already or read_values(settings.env_file).get("MLFLOW_SERVER_PORT") != str(settings.port):
        check_port(settings.host, settings.port)
    if _has_own_bucket(settings):
        progress(f"checking {settings.artifacts}")
        check_bucket(settings)
    save(settings)
    if _has_own_bucket(settings):
        project.pull_missing(progress)
        _check_bucket_from_container(project)
    start(project, progress)
    return _status(settings, publish(settings))


def down(env_file: Path, delete_data: bool) -> tuple[str, ...]:
    """Stop the server; its data stays unless `delete_data`. Artifacts in an S3 store of the user's own always stay.

    Returns:
        What is still there.

    Raises:
        UnreachableError: where Docker does not answer.
    """
    project = ComposeProject(resolve(ServerOptions(env_file=env_file, with_s3=True), "compose"))
    project.check()
    project.run("down", *(["--volumes"] if delete_data else []))
    settings = resolve(ServerOptions(env_file=env_file), "compose")
    if delete_data and _has_own_bucket(settings):
        return (f"the artifacts in {settings.artifacts} are still there",)
    return ()


def status(env_file: Path) -> ServerStatus:
    """The state of the server now.

    Raises:
        UnreachableError: where Docker does not answer.
    """
    return _status(resolve(ServerOptions(env_file=env_file), "compose"))


def logs(env_file: Path, service: str | None, follow: bool) -> Iterator[str]:
    """The lines of the log, secrets masked.

    Raises:
        NotFoundError: where the server is down.
        UsageError: for an unknown service.
        UnreachableError: where Docker does not answer.
    """
    project = ComposeProject(resolve(ServerOptions(env_file=env_file), "compose"))
    project.check()
    if not project.containers():
        raise NotFoundError("no log: the server is down; start it: dspytrack server up")
    known = sorted(project.run("config", "--services").split())
    if service is not None and service not in known:
        raise UsageError(f"no service `{service}`; there are {', '.join(known)}")
    options = ["--no-color", *(["--follow"] if follow else []), *([service] if service else [])]
    yield from project.stream("logs", *options)


def _has_own_bucket(settings: Settings) -> bool:
    """Whether artifacts go to an S3 store of the user's own."""
    return settings.artifacts is not None and not settings.with_s3


def _check_bucket_from_container(project: ComposeProject) -> None:
    """Try the bucket from a container like the server's, which may not reach what this machine reaches."""
    with Path(s3_selftest.__file__).open("rb") as program:
        try:
            project.run("run", "--rm", "--no-deps", "-T", "mlflow", "python", "-", stdin=program)
        except UnreachableError as error:
            raise UnreachableError(
                f"the server's container cannot use {project.settings.artifacts} (an S3 store on this machine has to "
                f"listen on more than loopback): {error}"
            ) from error


def _status(settings: Settings, notes: tuple[str, ...] = ()) -> ServerStatus:
    project = ComposeProject(settings)
    project.check()
    containers = project.containers()
    services = tuple(
        Service(found.service, found.state, found.health, found.image, _data_bytes(project, found))
        for found in sorted(containers, key=lambda found: found.service)
    )
    return ServerStatus(
        kind="compose",
        address=settings.address,
        healthy={found.service for found in containers} >= _NEEDED and all(found.is_healthy for found in containers),
        auth=settings.auth,
        version=get(f"{settings.address}/version", settings.login),
        client_version=client_version(),
        runs=_run_count(project, containers),
        artifacts=_artifacts(settings),
        services=services,
        notes=notes,
    )


def _artifacts(settings: Settings) -> str:
    if settings.with_s3:
        return f"{settings.artifacts} (the volume s3-data)"
    return settings.artifacts or "the volume mlflow-data"


def _data_bytes(project: ComposeProject, found: Container) -> int | None:
    if found.state != "running" or found.service not in _DATA:
        return None
    try:
        printed = project.run("exec", "-T", found.service, "du", "-sk", _DATA[found.service])
    except UnreachableError:  # `du` fails where a file disappears while it counts
        return None
    return int(printed.split()[0]) * 1024


def _run_count(project: ComposeProject, containers: list[Container]) -> int | None:
    if not any(found.service == "postgres" and found.is_healthy for found in containers):
        return None
    query = "SELECT count(*) FROM runs WHERE lifecycle_stage = 'active'"
    try:
        return int(project.run("exec", "-T", "postgres", "psql", "-U", "mlflow", "-d", "mlflow", "-tAc", query))
    except UnreachableError:  # no such table before the first start
        return None
