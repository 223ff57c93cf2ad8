"""The command line in a process of its own, as users run it, and what a server test asks of the machine."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]

from dspytrack.server.env_file import read

_OURS = ("MLFLOW_", "AWS_", "COMPOSE_")


@dataclass(frozen=True)
class Done:
    """What a command left."""

    code: int
    out: str
    err: str


@dataclass
class Shell:
    """A folder in which `dspytrack server …` is typed."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    def server(self, *args: str, stdin: str = "") -> Done:
        """Run a command to its end, in an environment without settings of ours."""
        done = subprocess.run(
            [sys.executable, "-m", "dspytrack", "server", *args],
            cwd=self.folder,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=290,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def ok(self, *args: str) -> str:
        """Run a command that must succeed; its standard output."""
        done = self.server(*args)
        assert done.code == 0, done.err
        return done.out

    @property
    def environment(self) -> dict[str, str]:
        """What commands are run with."""
        return {name: value for name, value in os.environ.items() if not name.startswith(_OURS)} | self.env

    @property
    def written(self) -> dict[str, str]:
        """The env file."""
        return read(self.folder / ".env.mlflow")


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def log_run(shell: Shell) -> str:
    """Log a run with an artifact by plain mlflow, with no more settings than the env file; its id."""
    program = (
        "import sys; from dspytrack.tracking.config import MLflowConfig; config = MLflowConfig.load()\n"
        "from mlflow import MlflowClient; client = MlflowClient(config.tracking_uri)\n"
        "experiment = client.get_experiment_by_name('kept')\n"
        "ident = experiment.experiment_id if experiment else client.create_experiment('kept')\n"
        "run = client.create_run(ident).info.run_id; client.log_metric(run, 'score', 0.5)\n"
        "client.log_text(run, 'a text', 'notes/text.txt'); client.set_terminated(run); print(run)\n"
    )
    return _python(shell, program)


def read_run(shell: Shell, run_id: str) -> str:
    """The run's score and its artifact's text, read in a new process."""
    program = (
        "import sys, mlflow; from dspytrack.tracking.config import MLflowConfig; config = MLflowConfig.load()\n"
        "mlflow.set_tracking_uri(config.tracking_uri); run = mlflow.get_run(sys.argv[1])\n"
        "print(run.data.metrics['score'], mlflow.artifacts.load_text(run.info.artifact_uri + '/notes/text.txt'))\n"
    )
    return _python(shell, program, run_id)


def count_runs(shell: Shell) -> int:
    """How many runs the server says it has."""
    runs = json.loads(shell.ok("status", "--json"))["runs"]
    assert isinstance(runs, int)
    return runs


def listeners(port: int) -> list[str]:
    """The local addresses that something listens on at a port."""
    printed = subprocess.run(
        ["ss", "-H", "-ltn", f"sport = :{port}"], capture_output=True, text=True, check=True
    ).stdout
    return [line.split()[3].rpartition(":")[0] for line in printed.splitlines()]


@contextmanager
def holding(port: int) -> Iterator[int]:
    """Another process that listens on a port; its number."""
    program = f"import socket, time; s = socket.create_server(('127.0.0.1', {port})); print('up', flush=True)"
    with subprocess.Popen(
        [sys.executable, "-c", f"{program}; time.sleep(300)"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "up\n"
        yield process.pid
        process.kill()


@contextmanager
def s3_store(host: str, bucket: str) -> Iterator[dict[str, str]]:
    """moto's S3 server with one bucket; the environment that reaches it."""
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
    for _ in range(300):
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
    """Where a secret can be read that it must not: command lines, and files of the folder but the env file."""
    found = [line for line in _processes().splitlines() if secret in line]
    for file in shell.folder.rglob("*"):
        if file.is_file() and file.name != ".env.mlflow" and secret.encode() in file.read_bytes():
            found.append(str(file))
    return found


def _processes() -> str:
    return subprocess.run(["ps", "-eww", "-o", "args="], capture_output=True, text=True, check=True).stdout


def _python(shell: Shell, program: str, *args: str) -> str:
    environment = shell.environment | {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    done = subprocess.run(
        [sys.executable, "-c", program, *args],
        cwd=shell.folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]
