"""From `docker compose up` to healthy, or to the reason why not."""

from __future__ import annotations

import time

from dspytrack.errors import UnreachableError
from dspytrack.server.compose.engine import Container, Engine
from dspytrack.server.status import Progress

START_SECONDS = 300


def start(engine: Engine, progress: Progress) -> None:
    """Bring every service up and wait until all are healthy.

    Raises:
        UsageError: where the port is in use.
        UnreachableError: with the last log lines of the service that failed.
    """
    engine.pull_missing(progress)
    progress("starting")
    try:
        engine.compose("up", "--detach", "--no-build", "--quiet-pull")
    except UnreachableError as error:
        failed = next((found for found in engine.containers() if _broken(engine, found)), None)
        if failed is None:
            raise
        raise _failure(engine, failed, "did not start") from error
    _wait(engine, progress)


def _wait(engine: Engine, progress: Progress) -> None:
    begun = time.monotonic()
    while time.monotonic() - begun < START_SECONDS:
        containers = engine.containers()
        for found in containers:
            if _broken(engine, found):
                raise _failure(engine, found, "failed")
        if containers and all(map(is_healthy, containers)):
            return
        waiting = [found for found in containers if not is_healthy(found)]
        progress("waiting for " + ", ".join(f"{found.service} ({found.health})" for found in waiting))
        time.sleep(1)
    late = next(found for found in engine.containers() if not is_healthy(found))
    raise _failure(engine, late, f"was not healthy after {START_SECONDS} s")


def is_healthy(found: Container) -> bool:
    """Whether a container runs and its health check passes; between two restarts it has none, for a moment."""
    return found.state == "running" and found.health == "healthy"


def _broken(engine: Engine, found: Container) -> bool:
    if found.state in ("exited", "dead") or found.health == "unhealthy":
        return True
    return engine.restarts(found) >= 2


def _failure(engine: Engine, failed: Container, what: str) -> UnreachableError:
    """The error with the end of the log; the service is stopped, or it would restart for ever."""
    lines = engine.last_lines(failed.service)
    engine.compose("stop", failed.service)
    mend = "\nmend: dspytrack server upgrade" if "out-of-date database schema" in lines else ""
    return UnreachableError(f"the service {failed.service} ({failed.image}) {what}; its last lines:\n{lines}{mend}")
