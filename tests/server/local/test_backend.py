"""A local server that is not there: what `down`, `status` and `logs` find instead is left alone."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from dspytrack.errors import UsageError
from dspytrack.server.local import backend
from tests.support.ports import free_port


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder."""
    for name in ("MLFLOW_ARTIFACTS_DESTINATION", "MLFLOW_BACKEND_STORE_URI", "MLFLOW_SERVER_PORT"):
        monkeypatch.delenv(name, raising=False)
    found = tmp_path / ".dspytrack" / "server"
    (found / "artifacts").mkdir(parents=True)
    return found


@pytest.fixture
def other_server() -> Iterator[int]:
    """A port on which something else answers as a server would."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

    with ThreadingHTTPServer(("127.0.0.1", free_port()), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture
def stranger(folder: Path) -> Iterator[int]:
    """A process that has the number in the pid file, and is not the server."""
    command = [sys.executable, "-c", "import time; time.sleep(300)"]
    with subprocess.Popen(command, cwd=folder, start_new_session=True) as process:
        server = [sys.executable, "-m", "mlflow", "server"]
        (folder / "server.pid").write_text(json.dumps({"pid": process.pid, "command": server}))
        try:
            yield process.pid
            assert process.poll() is None, "it was signalled"
        finally:
            process.kill()


def env_file_in(folder: Path, port: int, *lines: str) -> Path:
    """The env file of a data folder."""
    file = folder.parent.parent / ".env.mlflow"
    file.write_text("\n".join([f"MLFLOW_SERVER_PORT={port}", *lines]))
    return file


def test_a_process_that_only_has_the_number_of_the_server_is_left_alone(folder: Path, stranger: int) -> None:
    env_file = env_file_in(folder, free_port())
    assert not backend.status(env_file).running
    assert backend.down(env_file, delete_data=False) == ()
    assert not (folder / "server.pid").exists()


def test_a_damaged_pid_file_reads_as_a_server_that_is_down(folder: Path) -> None:
    env_file = env_file_in(folder, free_port())
    (folder / "server.pid").write_text("{")
    found = backend.status(env_file)
    assert (found.healthy, found.services[0].state, found.services[0].health) == (False, "exited", "none")
    assert backend.down(env_file, delete_data=False) == ()
    assert not (folder / "server.pid").exists()


def test_what_answers_in_place_of_the_server_is_named_and_not_stopped(folder: Path, other_server: int) -> None:
    [note] = backend.down(env_file_in(folder, other_server), delete_data=False)
    assert f"still answers at http://127.0.0.1:{other_server}" in note and "process" in note


def test_deleting_data_leaves_what_is_not_the_servers(folder: Path) -> None:
    stored = ("MLFLOW_ARTIFACTS_DESTINATION=s3://ours/runs", "MLFLOW_BACKEND_STORE_URI=postgresql://me:a-password@h/d")
    env_file = env_file_in(folder, free_port(), *stored)
    (folder / "backups").mkdir()
    for name in ("mlflow.db", "server.log", "artifacts/model", "backups/before.tar"):
        (folder / name).write_text("data")
    artifacts, runs = backend.down(env_file, delete_data=True)
    assert [str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()] == ["backups/before.tar"]
    assert "s3://ours/runs" in artifacts and "still there" in runs and "a-password" not in runs


def test_a_log_that_is_not_there_is_a_usage_error(folder: Path) -> None:
    env_file = env_file_in(folder, free_port())
    with pytest.raises(UsageError, match="no service `postgres`; there is mlflow"):
        list(backend.logs(env_file, "postgres", follow=False))
    with pytest.raises(UsageError, match="dspytrack server up --local"):
        list(backend.logs(env_file, None, follow=True))


def test_the_log_is_printed_without_secrets(folder: Path) -> None:
    env_file = env_file_in(folder, free_port(), "MLFLOW_DB_PASSWORD=a-long-password")
    (folder / "server.log").write_text("one\nuses a-long-password\n")
    assert list(backend.logs(env_file, None, follow=True)) == ["one", "uses ***"]
