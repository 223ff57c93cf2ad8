"""`server up --local`: a real `mlflow server` process, as a user starts it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from dspytrack.server.network import get
from tests.integration import engine
from tests.integration.servers import (
    Shell,
    count_runs,
    free_port,
    holding,
    keys_in,
    listeners,
    log_run,
    read_run,
    s3_store,
    secrets_of,
    where_found,
)

pytestmark = pytest.mark.integration


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A folder whose local server, if there is one, is ended."""
    found = Shell(tmp_path)
    yield found
    if "MLFLOW_SERVER_KIND" in found.written:
        found.ok("down", "--delete-data", "--yes")


def _up(shell: Shell, *options: str) -> int:
    port = free_port()
    shell.ok("up", "--local", "--port", str(port), *options)
    return port


def test_a_run_outlives_down_and_up_and_is_gone_after_delete_data(shell: Shell) -> None:
    port = _up(shell)
    run = log_run(shell)
    assert listeners(port) == ["127.0.0.1"]
    shell.ok("down")
    assert listeners(port) == []
    shell.ok("up", "--local")
    assert read_run(shell, run) == "0.5 a text"
    assert count_runs(shell) == 1
    shell.ok("down", "--delete-data", "--yes")
    shell.ok("up", "--local")
    assert count_runs(shell) == 0


def test_starting_twice_is_no_error_and_one_process(shell: Shell) -> None:
    _up(shell)
    first = json.loads(shell.ok("status", "--json"))
    shell.ok("up", "--local")
    assert json.loads(shell.ok("status", "--json"))["services"][0]["state"] == first["services"][0]["state"]
    moved = shell.server("up", "--local", "--port", str(free_port()))
    assert moved.code == 2 and "server down" in moved.err


def test_a_killed_server_is_seen_and_started_again(shell: Shell) -> None:
    _up(shell)
    pid = json.loads((shell.folder / ".dspytrack/server/server.pid").read_text())["pid"]
    os.killpg(pid, signal.SIGKILL)
    found = shell.server("status", "--json")
    assert found.code == 6 and json.loads(found.out)["services"][0]["state"] == "exited"
    shell.ok("up", "--local")
    assert count_runs(shell) == 0


def test_with_auth_only_the_login_of_the_env_file_enters(shell: Shell) -> None:
    port = _up(shell, "--auth")
    assert read_run(shell, log_run(shell)) == "0.5 a text"
    page = f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/get-by-name?experiment_name=kept"
    written = shell.written
    assert get(page, (written["MLFLOW_TRACKING_USERNAME"], written["MLFLOW_TRACKING_PASSWORD"])) is not None
    assert get(page) is None and get(page, ("admin", "wrong")) is None
    log = shell.ok("logs")
    for secret in secrets_of(shell):
        assert where_found(secret, shell) == [] and secret not in log


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


def test_a_port_in_use_is_named_with_its_holder_and_the_flag(shell: Shell) -> None:
    port = free_port()
    with holding(port) as pid:
        done = shell.server("up", "--local", "--port", str(port))
    assert done.code == 2
    assert f"port {port} is in use by " in done.err and str(pid) in done.err and "--port" in done.err
    assert shell.written == {}


def test_a_server_open_to_the_network_needs_a_login_or_the_word_insecure(shell: Shell) -> None:
    for kind in (["--local"], []):
        done = shell.server("up", *kind, "--host", "0.0.0.0")
        assert done.code == 2 and "--auth" in done.err and "--insecure" in done.err
    assert shell.written == {}
    port = _up(shell, "--host", "0.0.0.0", "--insecure")
    assert listeners(port) == ["0.0.0.0"]
    assert "localhost:*" in shell.written["MLFLOW_SERVER_ALLOWED_HOSTS"]
    assert read_run(shell, log_run(shell)) == "0.5 a text"


def test_artifacts_go_to_a_bucket_that_was_tried_first(shell: Shell) -> None:
    with s3_store("127.0.0.1", "ours") as env:
        shell.env |= env
        missing = shell.server("up", "--local", "--port", str(free_port()), "--artifacts", "s3://theirs/runs")
        assert missing.code == 6 and "NoSuchBucket" in missing.err and env["AWS_SECRET_ACCESS_KEY"] not in missing.err
        _up(shell, "--artifacts", "s3://ours/runs")
        run = log_run(shell)
        assert read_run(shell, run) == "0.5 a text"
        assert [key for key in keys_in(env, "ours") if not key.endswith(f"{run}/artifacts/notes/text.txt")] == []
        assert where_found(env["AWS_SECRET_ACCESS_KEY"], shell) == []
        shell.ok("down")


def test_a_server_that_does_not_start_says_why(shell: Shell) -> None:
    port = str(free_port())
    done = shell.server("up", "--local", "--port", port, "--backend-store-uri", "sqlite:////dev/null/m.db")
    assert done.code == 6
    assert "Not a directory" in done.err and "server.log" in done.err
    assert shell.server("status").code == 1


def test_no_server_is_named_with_the_command_that_makes_one(shell: Shell) -> None:
    for command in ("status", "logs", "down"):
        done = shell.server(command)
        assert done.code == 1 and "dspytrack server up" in done.err


@pytest.mark.engine
@pytest.mark.skipif(bool(engine.why_none()), reason=engine.why_none())
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
