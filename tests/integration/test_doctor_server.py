"""`dspytrack doctor` against real faults of a server that `server up` started: each fix it prints does fix it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from dspytrack.server.env_file import read_values
from tests.integration import engine
from tests.integration.checks import Capture, by_name, doctor, failures, typed
from tests.integration.commands import command, entered, write_settings
from tests.integration.servers import holding
from tests.support.ports import free_port

pytestmark = pytest.mark.integration


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder to type commands in."""
    with entered(tmp_path) as found:
        yield found


@pytest.fixture
def around() -> Iterator[ExitStack]:
    """What a test needs around it, removed after the test."""
    with ExitStack() as found:
        yield found


def test_a_full_artifact_disk_and_a_port_in_use_are_reported_and_their_fixes_work(
    folder: Path, around: ExitStack, capsys: Capture
) -> None:
    disk = folder / ".dspytrack/server/artifacts"
    disk.mkdir(parents=True)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)], check=False).returncode != 0:
        pytest.skip("mounting a small disk needs root")
    around.callback(subprocess.run, ["umount", str(disk)], check=True)
    port = free_port()
    command(capsys, "server", "up", "--local", "--port", str(port))
    around.callback(command, capsys, "server", "down")
    (disk / "filler").write_bytes(bytes(65536))
    full = doctor(capsys, code=6)
    assert failures(full) == ["disk: server's artifacts", "artifacts"]
    assert str(disk) in full["disk: server's artifacts"]["fix"] and "make room" in full["artifacts"]["fix"]
    subprocess.run(["mount", "-o", "remount,size=200m", str(disk)], check=True)
    assert failures(doctor(capsys)) == []
    command(capsys, "server", "down")
    down = doctor(capsys, code=6)
    assert failures(down) == ["server: mlflow", "reachable"]
    with holding(port) as pid:
        taken = doctor(capsys, code=6)
        assert f"port {port} is in use by " in taken["reachable"]["detail"]
        assert f"process {pid}" in taken["reachable"]["detail"]
        typed(capsys, taken["reachable"]["fix"])
        assert failures(doctor(capsys)) == []


@pytest.mark.engine
def test_a_stopped_postgresql_behind_the_compose_server_is_reported_and_its_fix_works(
    folder: Path, around: ExitStack, capsys: Capture
) -> None:
    os.environ |= dict(engine.images()) | {"MLFLOW_SERVER_WORKERS": "1"}
    around.callback(command, capsys, "server", "down", "--delete-data", "--yes")
    command(capsys, "server", "up", "--port", str(free_port()))
    well = doctor(capsys)
    assert "container" in well["disk: mlflow"]["detail"] and well["server: postgres"]["status"] == "pass"
    project = read_values(folder / ".env.mlflow")["MLFLOW_SERVER_PROJECT"]
    [container] = engine.docker("ps", "-q", "--filter", f"name={project}-postgres").stdout.split()
    engine.docker("stop", container)
    printed = command(capsys, "doctor", "--json", code=6)
    checks = by_name(printed)
    assert failures(checks) == ["server: postgres"] and "exited" in checks["server: postgres"]["detail"]
    assert checks["server: mlflow"]["status"] == "pass"
    typed(capsys, checks["server: postgres"]["fix"])
    assert failures(doctor(capsys)) == []


def test_a_server_in_a_docker_that_is_gone_is_replaced_by_the_fixes(
    folder: Path, around: ExitStack, capsys: Capture
) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    write_settings(folder, MLFLOW_SERVER_KIND="compose", MLFLOW_SERVER_PORT=str(port), MLFLOW_TRACKING_URI=address)
    os.environ["PATH"] = str(folder)  # no Docker in it
    checks = doctor(capsys, code=6)
    assert failures(checks) == ["Docker", "reachable"]
    assert checks["Docker"]["fix"].endswith(": dspytrack server up --local")
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        del os.environ[name]  # as in a new process: what an earlier command loaded from the file is not the environment
    typed(capsys, checks["reachable"]["fix"])
    around.callback(command, capsys, "server", "down", "--delete-data", "--yes")
    assert failures(doctor(capsys)) == []
