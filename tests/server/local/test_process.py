"""The server's process is recognized by its pid file, and no other process is taken for it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from dspytrack.server.local.process import running_pid, stop_group

COMMAND = [sys.executable, "-c", "import time; time.sleep(300)", "mlflow", "server"]
_STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork(): os._exit(0)
print(os.getpid(), flush=True)
time.sleep(300)
"""


@pytest.fixture
def around() -> Iterator[ExitStack]:
    """What a test started, ended with it."""
    with ExitStack() as found:
        yield found


def started(around: ExitStack, folder: Path, command: list[str] = COMMAND) -> subprocess.Popen[str]:
    """A process that leads a group, as the server does."""
    process = subprocess.Popen(command, cwd=folder, start_new_session=True, stdout=subprocess.PIPE, text=True)
    around.callback(process.wait)
    around.callback(process.kill)
    return process


def note(folder: Path, pid: object, command: object = COMMAND) -> None:
    """Write a pid file."""
    (folder / "server.pid").write_text(json.dumps({"pid": pid, "command": command}))


def test_the_process_that_was_started_is_recognized_until_it_ends(tmp_path: Path, around: ExitStack) -> None:
    process = started(around, tmp_path)
    note(tmp_path, process.pid)
    assert running_pid(tmp_path) == process.pid
    process.kill()
    while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert running_pid(tmp_path) is None, "it has ended, although nobody has waited for it"
    process.wait()
    assert running_pid(tmp_path) is None


def test_a_folder_reached_through_a_link_has_the_same_server(tmp_path: Path, around: ExitStack) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (tmp_path / "link").symlink_to(real)
    process = started(around, real)
    note(real, process.pid)
    assert running_pid(tmp_path / "link") == process.pid


def test_another_process_with_the_number_of_the_server_is_not_taken_for_it(tmp_path: Path, around: ExitStack) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    other_command = started(around, tmp_path, [sys.executable, "-c", "import time; time.sleep(300)"])
    other_folder = started(around, elsewhere)
    for stranger in (other_command, other_folder):
        note(tmp_path, stranger.pid)
        assert running_pid(tmp_path) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"12",
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b'{"pid": null, "command": []}',
        b'{"pid": -1, "command": []}',
        b'{"pid": 0, "command": []}',
        b'{"pid": 1e999, "command": []}',
        b'{"pid": 99999999999999999999, "command": []}',
        b'{"pid": "x", "command": []}',
        b'{"pid": 1, "command": null}',
        b'{"pid": 1}',
        b'{"pid": 1, "command": []}',
    ],
)
def test_a_damaged_pid_file_names_no_process(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "server.pid").write_bytes(content)
    assert running_pid(tmp_path) is None


def test_a_pid_file_of_this_very_process_does_not_end_it(tmp_path: Path) -> None:
    note(tmp_path, os.getpid(), psutil.Process().cmdline())
    assert running_pid(tmp_path) is None, "its working folder is another"


def test_a_group_is_ended_with_what_its_leader_left_and_what_ignores_a_request(
    tmp_path: Path, around: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dspytrack.server.local.process._TERM_SECONDS", 0.5)
    leader = started(around, tmp_path, [sys.executable, "-c", _STUBBORN])
    assert leader.stdout is not None
    child = int(leader.stdout.readline())
    around.callback(_kill, child)
    assert os.getpgid(child) == leader.pid != child
    stop_group(leader.pid)
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


def test_a_group_that_has_ended_is_no_error(tmp_path: Path, around: ExitStack) -> None:
    process = started(around, tmp_path)
    process.kill()
    process.wait()
    stop_group(process.pid)


def _kill(pid: int) -> None:
    if psutil.pid_exists(pid):
        os.kill(pid, signal.SIGKILL)
