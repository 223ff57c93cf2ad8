"""`server up --local`: a real `mlflow server` process, started as a user starts it."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dspytrack.server.network import get
from tests.integration import engine
from tests.integration.servers import (
    Shell,
    count_runs,
    holding,
    listeners,
    log_run,
    read_run,
    s3_store,
    where_found,
)
from tests.support.ports import free_port

pytestmark = pytest.mark.integration


def _shell(folder: Path) -> Iterator[Shell]:
    found = Shell(folder)
    yield found
    if "MLFLOW_SERVER_KIND" in found.written:
        found.ok("down", "--delete-data", "--yes")


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A folder whose local server, if there is one, is stopped."""
    yield from _shell(tmp_path)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A server with logins, shared by many tests."""
    for found in _shell(tmp_path_factory.mktemp("running")):
        _up(found, "--auth")
        yield found


def _up(shell: Shell, *options: str) -> int:
    port = free_port()
    shell.ok("up", "--local", "--port", str(port), *options)
    return port


def test_with_auth_only_the_login_of_the_env_file_is_accepted(running: Shell) -> None:
    assert read_run(running, log_run(running)) == "0.5 a text"
    written = running.written
    page = f"{written['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/experiments/get-by-name?experiment_name=kept"
    login = (written["MLFLOW_TRACKING_USERNAME"], written["MLFLOW_TRACKING_PASSWORD"])
    assert get(page, login, timeout=60) is not None
    assert get(page, timeout=60) is None and get(page, ("admin", "wrong"), timeout=60) is None


def test_starting_twice_is_no_error_and_starts_one_process(running: Shell) -> None:
    first = json.loads(running.ok("status", "--json"))
    running.ok("up")
    assert json.loads(running.ok("status", "--json"))["services"][0]["state"] == first["services"][0]["state"]
    for changed in (("--port", str(free_port())), ("--no-auth",)):
        refused = running.server("up", "--local", *changed)
        assert refused.code == 2 and "server down" in refused.err
    other = running.server("up", "--compose")
    assert other.code == 2 and "local server runs" in other.err


def test_a_killed_server_is_noticed_and_can_be_started_again(running: Shell) -> None:
    runs = count_runs(running)
    pid = json.loads((running.folder / ".dspytrack/server/server.pid").read_text())["pid"]
    os.killpg(pid, signal.SIGKILL)
    while listeners(int(running.written["MLFLOW_SERVER_PORT"])):
        time.sleep(0.05)
    found = running.server("status", "--json")
    assert found.code == 6 and json.loads(found.out)["services"][0]["state"] == "exited"
    running.ok("up")
    assert count_runs(running) == runs


def test_a_server_whose_pid_file_is_damaged_is_neither_stopped_nor_started_twice(running: Shell) -> None:
    file, port = running.folder / ".dspytrack/server/server.pid", running.written["MLFLOW_SERVER_PORT"]
    noted = file.read_text()
    for damaged in ("", noted[:9], noted.replace(f'"pid": {json.loads(noted)["pid"]}', f'"pid": {os.getpid()}')):
        file.write_text(damaged)
        found = running.server("status", "--json")
        assert found.code == 6 and json.loads(found.out)["services"][0]["state"] == "exited"
        again = running.server("up")
        assert again.code == 2 and f"port {port} is in use by " in again.err
        done = running.server("down", "--json")
        [note] = json.loads(done.out)["notes"]
        assert done.code == 0 and str(json.loads(noted)["pid"]) not in found.out and "still answers" in note
    file.write_text(noted)
    assert json.loads(running.ok("status", "--json"))["healthy"]


def test_a_local_server_replaces_one_in_a_docker_that_is_gone(shell: Shell) -> None:
    port = str(free_port())
    (shell.folder / ".env.mlflow").write_text(
        f"MLFLOW_SERVER_KIND=compose\nMLFLOW_SERVER_PORT={port}\nMLFLOW_SERVER_WITH_S3=1\n"
        "MLFLOW_ARTIFACTS_DESTINATION=s3://mlflow/artifacts\n"
    )
    shell.env |= {"PATH": str(shell.folder)}
    refused = shell.server("up")
    assert refused.code == 6 and "dspytrack server up --local" in refused.err
    done = shell.server("up", "--local", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["kind"] == "local" and "the compose server's runs stay" in done.err
    assert read_run(shell, log_run(shell)) == "0.5 a text"


def test_the_env_file_keeps_what_a_person_wrote(shell: Shell) -> None:
    env_file = shell.folder / ".env.mlflow"
    env_file.write_text(
        "# ours\nMLFLOW_TRACKING_URI=sqlite:///mlflow.db\nMLFLOW_EXPERIMENT_NAME=mine  # why\nOTHER='a b'"
    )
    env_file.chmod(0o644)
    port = free_port()
    done = shell.server("up", "--local", "--port", str(port))
    assert done.code == 0 and "comment" in done.err
    lines = env_file.read_text().splitlines()
    uri = f"MLFLOW_TRACKING_URI=http://127.0.0.1:{port}"
    expected = [
        "# ours",
        "# MLFLOW_TRACKING_URI=sqlite:///mlflow.db",
        uri,
        "MLFLOW_EXPERIMENT_NAME=mine  # why",
        "OTHER='a b'",
    ]
    assert lines[:5] == expected
    assert env_file.stat().st_mode & 0o777 == 0o600
    before = shell.written
    shell.ok("up", "--local")
    assert shell.written == before


def test_a_port_in_use_is_reported_with_its_holder_and_the_option(shell: Shell) -> None:
    port = free_port()
    with holding(port) as pid:
        done = shell.server("up", "--local", "--port", str(port))
    assert done.code == 2
    assert f"port {port} is in use by " in done.err and str(pid) in done.err and "--port" in done.err
    assert shell.written == {}


def test_a_server_open_to_the_network_needs_a_login_or_the_option_insecure(shell: Shell) -> None:
    for kind in (["--local"], []):
        done = shell.server("up", *kind, "--host", "0.0.0.0")
        assert done.code == 2 and "--auth" in done.err and "--insecure" in done.err
    assert shell.written == {}
    port = _up(shell, "--host", "0.0.0.0", "--insecure")
    assert listeners(port) == ["0.0.0.0"]
    assert "localhost:*" in shell.written["MLFLOW_SERVER_ALLOWED_HOSTS"]
    assert read_run(shell, log_run(shell)) == "0.5 a text"


def test_a_bucket_is_checked_before_anything_is_started(shell: Shell) -> None:
    with s3_store("127.0.0.1", "ours") as env:
        shell.env |= env
        for kind in ("--local", "--compose"):
            done = shell.server("up", kind, "--port", str(free_port()), "--artifacts", "s3://theirs/runs")
            assert done.code == 6 and "NoSuchBucket" in done.err and env["AWS_SECRET_ACCESS_KEY"] not in done.err
    assert shell.written == {}


def test_a_server_that_does_not_start_is_reported_with_its_log(shell: Shell) -> None:
    port = str(free_port())
    done = shell.server("up", "--local", "--port", port, "--backend-store-uri", "sqlite:////dev/null/m.db")
    assert done.code == 6
    assert "/dev/null" in done.err and "server.log" in done.err
    assert shell.server("status").code == 1


def test_without_a_server_every_command_names_the_one_that_starts_it(shell: Shell) -> None:
    for command in ("status", "logs", "down"):
        done = shell.server(command)
        assert done.code == 1 and "dspytrack server up" in done.err


def test_a_database_that_does_not_answer_is_reported_at_once(shell: Shell) -> None:
    uri = f"postgresql://me:a-password-of-its-own@127.0.0.1:{free_port()}/mlflow"
    done = shell.server("up", "--local", "--port", str(free_port()), "--backend-store-uri", uri)
    assert done.code == 6 and "refused" in done.err and "a-password-of-its-own" not in done.err
    assert shell.written == {}


@pytest.mark.engine
def test_runs_can_be_kept_in_a_postgresql_of_ones_own(shell: Shell) -> None:
    port = free_port()
    name = f"dspytrack-test-{port}"
    variables = ("-e", "POSTGRES_PASSWORD=a-password-of-its-own", "-e", "POSTGRES_USER=mlflow")
    engine.docker("run", "-d", "--rm", "--name", name, *variables, "-p", f"127.0.0.1:{port}:5432", "postgres:17")
    try:
        engine.wait_for_postgres(name)
        _up(shell, "--backend-store-uri", f"postgresql://mlflow:a-password-of-its-own@127.0.0.1:{port}/mlflow")
        run = log_run(shell)
        shell.ok("down")
        shell.ok("up", "--local")
        assert read_run(shell, run) == "0.5 a text" and count_runs(shell) == 1
        assert where_found("a-password-of-its-own", shell) == []
        shell.ok("down")
    finally:
        engine.docker("stop", name)
