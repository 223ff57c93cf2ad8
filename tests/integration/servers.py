"""The command line in a process of its own, as users run it, and what server tests need to know of the machine."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import boto3  # type: ignore[import-untyped]

from dspytrack.server.env_file import read_values
from tests.support.ports import free_port

_OURS = ("MLFLOW_", "AWS_", "COMPOSE_")


@dataclass(frozen=True)
class Done:
    """The result of a command."""

    code: int
    out: str
    err: str


@dataclass
class Shell:
    """A folder in which commands are run."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    def run(self, *args: str) -> Done:
        """Run a command to its end, in an environment without settings of ours and without a terminal."""
        done = subprocess.run(
            [sys.executable, "-m", "dspytrack", *args],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def server(self, *args: str) -> Done:
        """Run `dspytrack server …`."""
        return self.run("server", *args)

    def ok(self, *args: str) -> str:
        """Run `dspytrack server …`, which must succeed, and return its standard output."""
        done = self.server(*args)
        assert done.code == 0, done.err
        return done.out

    @property
    def environment(self) -> dict[str, str]:
        """The environment that commands run in."""
        return {name: value for name, value in os.environ.items() if not name.startswith(_OURS)} | self.env

    @property
    def written(self) -> dict[str, str]:
        """The values of the env file."""
        return read_values(self.folder / ".env.mlflow")


def log_run(shell: Shell) -> str:
    """Log a run with an artifact by plain MLflow, and return its id."""
    with _client(shell) as client:
        experiment = client.get_experiment_by_name("kept")
        ident = experiment.experiment_id if experiment else client.create_experiment("kept")
        run = client.create_run(ident).info.run_id
        client.log_metric(run, "score", 0.5)
        client.log_text(run, "a text", "notes/text.txt")
        client.set_terminated(run)
        return str(run)


def read_run(shell: Shell, run_id: str) -> str:
    """The run's score and its artifact's text."""
    with _client(shell) as client, tempfile.TemporaryDirectory() as folder:
        score = client.get_run(run_id).data.metrics["score"]
        return f"{score} {Path(client.download_artifacts(run_id, 'notes/text.txt', folder)).read_text()}"


def count_runs(shell: Shell) -> int:
    """The number of runs that the server reports."""
    runs = json.loads(shell.ok("status", "--json"))["runs"]
    assert isinstance(runs, int)
    return runs


def listeners(port: int) -> list[str]:
    """The local addresses on which something listens at a port."""
    printed = subprocess.run(
        ["ss", "-H", "-ltn", f"sport = :{port}"], capture_output=True, text=True, check=True
    ).stdout
    return [line.split()[3].rpartition(":")[0] for line in printed.splitlines()]


@contextmanager
def holding(port: int) -> Iterator[int]:
    """Another process that listens on a port; its pid."""
    program = f"import socket, time; s = socket.create_server(('127.0.0.1', {port})); print('up', flush=True)"
    with subprocess.Popen(
        [sys.executable, "-c", f"{program}; time.sleep(300)"], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "up\n"
            yield process.pid
        finally:
            process.kill()


@contextmanager
def s3_store(host: str, bucket: str) -> Iterator[dict[str, str]]:
    """moto's S3 server with one bucket; the environment variables to reach it."""
    port = free_port()
    env = {
        "MLFLOW_S3_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "a-key-for-moto",
        "AWS_SECRET_ACCESS_KEY": "a-secret-for-moto",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    command = [sys.executable, "-m", "moto.server", "-H", host, "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(host, port, process)
            s3_client(env).create_bucket(Bucket=bucket)
            yield env
        finally:
            process.kill()


def _wait_for(host: str, port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        assert process.poll() is None, "moto's server ended"
        with socket.socket() as probe:
            if probe.connect_ex((host, port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("moto's server does not answer")


def s3_client(env: dict[str, str]) -> Any:
    """A boto3 client for a store."""
    return boto3.client(
        "s3",
        endpoint_url=env["MLFLOW_S3_ENDPOINT_URL"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        region_name=env["AWS_DEFAULT_REGION"],
    )


def keys_in(env: dict[str, str], bucket: str) -> list[str]:
    """The names of a bucket's objects."""
    return [found["Key"] for found in s3_client(env).list_objects_v2(Bucket=bucket).get("Contents", [])]


def secrets_of(shell: Shell) -> list[str]:
    """Every password of the env file."""
    found = {value for name, value in shell.written.items() if "PASSWORD" in name or "SECRET" in name}
    assert len(found) >= 3
    return sorted(found)


def where_found(secret: str, shell: Shell) -> list[str]:
    """Where a secret can be read although it must not: command lines, and files of the folder but the env file."""
    found = [line for line in _processes().splitlines() if secret in line]
    for file in shell.folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # a running server removes files of its own, such as a journal
            if file.is_file() and file.name != ".env.mlflow" and secret.encode() in file.read_bytes():
                found.append(str(file))
    return found


def _processes() -> str:
    return subprocess.run(["ps", "-eww", "-o", "args="], capture_output=True, text=True, check=True).stdout


@contextmanager
def _client(shell: Shell) -> Iterator[Any]:
    """MLflow's client in this process, with the settings of the env file alone."""
    from mlflow import MlflowClient

    settings = shell.written | {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
    with mock.patch.dict(os.environ, settings):
        yield MlflowClient(settings["MLFLOW_TRACKING_URI"])
