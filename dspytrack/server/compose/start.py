"""From `docker compose up` to healthy, or to the reason why not."""

from __future__ import annotations

import time

from dspytrack.errors import UnreachableError
from dspytrack.server.backend import OnProgress
from dspytrack.server.compose.project import ComposeProject, Container

START_SECONDS = 300


def start(project: ComposeProject, progress: OnProgress) -> None:
    """Bring every service up and wait until all are healthy.

    Raises:
        UsageError: where the port is in use.
        UnreachableError: with the last log lines of the service that failed.
    """
    project.pull_missing(progress)
    progress("starting")
    try:
        project.run("up", "--detach", "--no-build", "--quiet-pull")
    except UnreachableError as error:
        failed = next((found for found in project.containers() if _broken(project, found)), None)
        if failed is None:
            raise
        raise _failure(project, failed, "did not start") from error
    _wait(project, progress)


def _wait(project: ComposeProject, progress: OnProgress) -> None:
    started = time.monotonic()
    waiting: list[Container] = []
    while time.monotonic() - started < START_SECONDS:
        containers = project.containers()
        for found in containers:
            if _broken(project, found):
                raise _failure(project, found, "failed")
        if containers and all(found.is_healthy for found in containers):
            return
        waiting = [found for found in containers if not found.is_healthy]
        progress("waiting for " + ", ".join(f"{found.service} ({found.health})" for found in waiting))
        time.sleep(1)
    if not waiting:
        raise UnreachableError("docker compose started no container: dspytrack server logs")
    raise _failure(project, waiting[0], f"was not healthy after {START_SECONDS} s")


def _broken(project: ComposeProject, found: Container) -> bool:
    if found.state in ("exited", "dead") or found.health == "unhealthy":
        return True
    return project.restarts(found) >= 2


def _failure(project: ComposeProject, failed: Container, what: str) -> UnreachableError:
    """The error with the end of the log; the service is stopped, or it would restart forever."""
    lines = project.last_lines(failed.service)
    project.run("stop", failed.service)
    fix = "\nfix: dspytrack server upgrade" if "out-of-date database schema" in lines else ""
    return UnreachableError(f"the service {failed.service} ({failed.image}) {what}; its last lines:\n{lines}{fix}")
