"""Docker Compose on the shipped file for one project, with errors that say what to do.

Every `docker` command of the package but the one that looks for a port's holder is here.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from dspytrack.errors import UnreachableError
from dspytrack.server.backend import OnProgress
from dspytrack.server.env_file import effective_value
from dspytrack.server.ports import port_in_use
from dspytrack.server.settings import Settings, for_container, without_secrets

SERVICES_FILE = Path(__file__).with_name("docker-compose.mlflow.services.yml")
_ANSWER_SECONDS = 10
GET_DOCKER = "https://docs.docker.com/get-docker/"
_FIX = f"get or start Docker ({GET_DOCKER}), or run without it: dspytrack server up --local"


@dataclass(frozen=True)
class Container:
    """One container as `docker compose ps` shows it."""

    id: str
    service: str
    state: str
    health: str
    image: str

    @property
    def is_healthy(self) -> bool:
        """Whether it runs and its health check passes; between two restarts it has none, for a moment."""
        return self.state == "running" and self.health == "healthy"


def docker_fault() -> str | None:
    """Why Docker or its Compose plugin cannot be used; None where both answer."""
    lacks = {"the Docker daemon does not answer": ["version"], "Docker has no Compose plugin": ["compose", "version"]}
    for lack, command in lacks.items():
        try:
            done = _run(["docker", *command], timeout=_ANSWER_SECONDS)
        except FileNotFoundError:
            return "Docker is not installed"
        except subprocess.TimeoutExpired:
            return f"the Docker daemon does not answer within {_ANSWER_SECONDS} s"
        if done.returncode != 0:
            return f"{lack} ({_last_line(done.stderr)})"
    return None


class ComposeProject:
    """`docker compose` for one project."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def check(self) -> None:
        """See that Docker and Compose answer.

        Raises:
            UnreachableError: with how to get them.
        """
        fault = docker_fault()
        if fault is not None:
            raise UnreachableError(fault, _FIX)

    def run(self, *args: str, stdin: IO[Any] | None = None, stdout: IO[Any] | None = None) -> str:
        """Run `docker compose …` to its end.

        Returns:
            What it printed, unless that went to `stdout`.

        Raises:
            UsageError: where the port is in use.
            UnreachableError: with the last lines it printed.
        """
        command = [*self._command, *args]
        try:
            done = subprocess.run(
                command,
                stdin=stdin or subprocess.DEVNULL,
                stdout=stdout or subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self._environment,
                check=False,
            )
        except FileNotFoundError as error:
            raise UnreachableError("Docker is not installed", _FIX) from error
        errors = done.stderr.decode(errors="replace")
        if done.returncode == 0:
            return done.stdout.decode(errors="replace") if done.stdout else ""
        if "port is already allocated" in errors or "address already in use" in errors:
            raise port_in_use(self.settings.port)
        lines = [line for line in errors.strip().splitlines() if line.strip()][-5:]
        shown = without_secrets("\n".join(lines), self.settings.env_file)
        raise UnreachableError(f"docker compose {' '.join(args[:1])} failed:\n{shown}")

    def stream(self, *args: str) -> Iterator[str]:
        """The lines that `docker compose …` prints, as they come.

        Raises:
            UnreachableError: where it fails.
        """
        command = [*self._command, *args]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=self._environment
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                yield without_secrets(line.rstrip("\n"), self.settings.env_file)
        if process.returncode != 0:
            raise UnreachableError(f"docker compose {args[0]} ended with {process.returncode}")

    def containers(self) -> list[Container]:
        """The project's containers, running or not.

        Raises:
            UnreachableError: where Docker does not answer.
        """
        printed = self.run("ps", "--all", "--format", "json")
        # one document a line in Compose 2.21 and later, one list before
        rows = [row for line in printed.splitlines() for row in _rows(line)]
        return [
            Container(row["ID"], row["Service"], row["State"], row.get("Health") or "none", row["Image"])
            for row in rows
            if row.get("Service")
        ]

    def restarts(self, container: Container) -> int:
        """How often Docker has restarted a container that ended by itself."""
        done = _run(["docker", "inspect", "--format", "{{.RestartCount}}", container.id])
        return int(done.stdout.strip() or 0) if done.returncode == 0 else 0

    def last_lines(self, service: str, count: int = 15) -> str:
        """The end of a service's log, secrets masked.

        Raises:
            UnreachableError: where Docker does not answer.
        """
        printed = self.run("logs", "--no-color", "--no-log-prefix", "--tail", str(count), service)
        return without_secrets(printed.rstrip(), self.settings.env_file)

    def pull_missing(self, progress: OnProgress) -> None:
        """Fetch the images that are not on this machine.

        Raises:
            UnreachableError: naming the image that cannot be pulled.
        """
        for image in dict.fromkeys(self.run("config", "--images").split()):
            if _run(["docker", "image", "inspect", image]).returncode == 0:
                continue
            progress(f"pulling {image}")
            done = _run(["docker", "pull", "--quiet", image])
            if done.returncode != 0:
                raise UnreachableError(
                    f"the image {image} cannot be pulled: {_last_line(done.stderr)}; another one can be named in "
                    f"{self.settings.env_file} (MLFLOW_IMAGE, POSTGRES_IMAGE, S3_IMAGE)"
                )

    @property
    def _command(self) -> list[str]:
        settings = self.settings
        command = ["docker", "compose", "--progress", "quiet", "--project-name", settings.project]
        command += ["--file", str(SERVICES_FILE), "--project-directory", str(settings.folder)]
        if settings.env_file.is_file():
            command += ["--env-file", str(settings.env_file.resolve())]
        return [*command, "--profile", "s3"] if settings.with_s3 else command

    @property
    def _environment(self) -> dict[str, str]:
        """The environment with the settings on top: options win over the environment and the env file."""
        settings = self.settings
        decided = {
            "MLFLOW_SERVER_VERSION": settings.version,
            "MLFLOW_SERVER_HOST": settings.host,
            "MLFLOW_SERVER_PORT": str(settings.port),
            "MLFLOW_SERVER_AUTH": "basic-auth" if settings.auth else "",
            "MLFLOW_ARTIFACTS_DESTINATION": settings.artifacts or "",
            "MLFLOW_SERVER_S3_ENDPOINT_URL": for_container(settings.s3_endpoint),
        }
        cpus = effective_value(settings.env_file, "MLFLOW_SERVER_CPUS") or str(min(self._cpus, 4))
        return {**os.environ, **decided, "MLFLOW_SERVER_CPUS": cpus}

    @cached_property
    def _cpus(self) -> int:
        """The CPUs that containers have (on some systems those of a virtual machine)."""
        done = _run(["docker", "info", "--format", "{{.NCPU}}"])
        return int(done.stdout.strip() or 1) if done.returncode == 0 else 1


def _rows(line: str) -> list[dict[str, Any]]:
    found = json.loads(line) if line.strip() else []
    return found if isinstance(found, list) else [found]


def _run(command: list[str], timeout: float | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason given"])[-1]
