"""`server up` with a real Docker engine, PostgreSQL and MLflow, as a user types it."""

from __future__ import annotations

import json
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
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
    secrets_of,
)
from tests.support.ports import free_port

pytestmark = [pytest.mark.integration, pytest.mark.engine]


def _shell(folder: Path) -> Iterator[Shell]:
    found = Shell(folder, {"MLFLOW_SERVER_WORKERS": "1"} | engine.images())  # starts sooner than with two
    yield found
    if "MLFLOW_SERVER_KIND" in found.written:
        found.ok("down", "--delete-data", "--yes")
        assert _leftovers(found) == []


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A folder whose server, if there is one, is deleted without leftovers."""
    yield from _shell(tmp_path)


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A server with logins and an S3 store of its own, shared by many tests."""
    for found in _shell(tmp_path_factory.mktemp("team")):
        found.env["S3_IMAGE"] = engine.with_s3_image()
        found.ok("up", "--auth", "--with-s3", "--port", str(free_port()))
        yield found


def _leftovers(shell: Shell) -> list[str]:
    return engine.left_of(shell.written["MLFLOW_SERVER_PROJECT"])


def _containers(shell: Shell) -> list[str]:
    return engine.containers_of(shell.written["MLFLOW_SERVER_PROJECT"])


def test_only_loopback_listens_for_the_whole_project(team: Shell) -> None:
    published = engine.docker("inspect", "--format", "{{json .NetworkSettings.Ports}}", *_containers(team)).stdout
    addresses = {
        binding["HostIp"]
        for line in published.splitlines()
        for found in json.loads(line).values()
        for binding in found or []
    }
    assert addresses == {"127.0.0.1"}
    assert listeners(int(team.written["MLFLOW_SERVER_PORT"])) == ["127.0.0.1"]


def test_with_auth_only_the_login_of_the_env_file_is_accepted(team: Shell) -> None:
    assert read_run(team, log_run(team)) == "0.5 a text"
    written = team.written
    page = f"{written['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/experiments/get-by-name?experiment_name=kept"
    assert get(page, ("admin", written["MLFLOW_TRACKING_PASSWORD"]), timeout=60) is not None
    assert get(page, timeout=60) is None and get(page, ("admin", "wrong"), timeout=60) is None


def test_status_shows_each_services_health_and_size_and_the_number_of_runs(team: Shell) -> None:
    log_run(team)
    found = json.loads(team.ok("status", "--json"))
    assert found["healthy"] and found["auth"] and found["version"] == found["client_version"]
    assert [(row["name"], row["health"]) for row in found["services"]] == [
        ("mlflow", "healthy"),
        ("postgres", "healthy"),
        ("s3", "healthy"),
    ]
    assert all(row["volume_bytes"] > 0 for row in found["services"])
    assert found["runs"] >= 1


def test_data_is_deleted_only_after_a_yes(team: Shell) -> None:
    log_run(team)
    assert team.server("down", "--delete-data").code != 0
    assert count_runs(team) >= 1


def test_starting_twice_changes_nothing(team: Shell) -> None:
    before, written = _containers(team), team.written
    team.ok("up")
    assert _containers(team) == before and team.written == written


def test_logs_are_those_of_the_service_asked_for(team: Shell) -> None:
    assert "database system is ready" in team.ok("logs", "postgres")
    assert "GET /health" in team.ok("logs", "mlflow")
    unknown = team.server("logs", "postgress")
    assert unknown.code == 2 and "postgres" in unknown.err


def test_restoring_a_backup_brings_back_runs_and_artifacts(team: Shell) -> None:
    run = log_run(team)
    runs = count_runs(team)
    file = team.folder / "saved.tar"
    assert json.loads(team.ok("backup", str(file), "--json")) == {"file": str(file)}
    assert file.stat().st_mode & 0o777 == 0o600
    with tarfile.open(file) as packed:
        assert packed.getnames() == ["backup.json", "database.dump", "artifacts.tar"]
    assert team.server("backup", str(file)).code == 2
    log_run(team)
    assert json.loads(team.ok("restore", str(file), "--yes", "--json"))["file"] == str(file)
    assert count_runs(team) == runs and read_run(team, run) == "0.5 a text"
    file.unlink()
    team.folder.joinpath("no.tar").write_text("no tar")
    assert team.server("restore", "no.tar", "--yes").code == 2
    assert count_runs(team) == runs


def test_the_seed_command_runs_what_manifests_writes(shell: Shell) -> None:
    shell.env["MLFLOW_SERVER_PORT"] = str(free_port())
    shell.ok("manifests", "--compose", "-o", ".")
    assert {file.name for file in shell.folder.iterdir()} == {
        "docker-compose.mlflow.yml",
        "docker-compose.mlflow.services.yml",
        ".env.mlflow",
    }
    command = ["docker", "compose", "-f", "docker-compose.mlflow.yml"]
    plain = {"cwd": shell.folder, "env": shell.environment, "check": True, "capture_output": True}
    subprocess.run([*command, "up", "-d", "--wait"], **plain)  # type: ignore[call-overload]
    assert read_run(shell, log_run(shell)) == "0.5 a text"
    assert json.loads(shell.ok("status", "--json"))["healthy"]


def test_a_port_in_use_is_reported_with_its_holder_and_the_option(shell: Shell, team: Shell) -> None:
    port = free_port()
    with holding(port) as pid:
        by_process = shell.server("up", "--port", str(port))
    assert by_process.code == 2
    assert f"port {port} is in use by " in by_process.err and f"process {pid}" in by_process.err
    by_container = shell.server("up", "--port", team.written["MLFLOW_SERVER_PORT"])
    assert by_container.code == 2
    assert f"the container {team.written['MLFLOW_SERVER_PROJECT']}" in by_container.err and "--port" in by_container.err
    assert shell.written == {}


def test_an_image_that_cannot_be_pulled_is_named(shell: Shell) -> None:
    shell.env["MLFLOW_IMAGE"] = "localhost:1/no/such:image"
    done = shell.server("up", "--port", str(free_port()))
    assert done.code == 6 and "localhost:1/no/such:image cannot be pulled" in done.err


def test_a_service_that_fails_is_named_with_its_last_lines(shell: Shell) -> None:
    shell.env["MLFLOW_SERVER_WORKERS"] = "none"
    done = shell.server("up", "--port", str(free_port()))
    assert done.code == 6
    assert "the service mlflow" in done.err and "none" in done.err.split("its last lines")[1]
    assert all(secret not in done.err for secret in secrets_of(shell))


def test_options_that_contradict_each_other_are_rejected(shell: Shell) -> None:
    both = shell.server("up", "--with-s3", "--artifacts", "s3://ours/runs")
    assert both.code == 2 and "--artifacts names another" in both.err
    database = shell.server("up", "--backend-store-uri", "postgresql://me@elsewhere/mlflow")
    assert database.code == 2 and "--local" in database.err
    assert shell.written == {}


def test_without_docker_the_error_names_the_option_local(
    shell: Shell, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shell.env["PATH"] = str(tmp_path_factory.mktemp("empty"))
    none = shell.server("up")
    assert none.code == 6 and "not installed" in none.err and "--local" in none.err
    del shell.env["PATH"]
    shell.env["DOCKER_HOST"] = "unix:///no/daemon.sock"
    silent = shell.server("up")
    assert silent.code == 6 and "does not answer" in silent.err and "--local" in silent.err


def test_a_bucket_that_containers_cannot_reach_is_rejected(shell: Shell) -> None:
    with s3_store("127.0.0.1", "ours") as env:
        shell.env |= env
        done = shell.server("up", "--port", str(free_port()), "--artifacts", "s3://ours/runs")
    assert done.code == 6 and "loopback" in done.err and "host.docker.internal" in done.err
    assert _containers(shell) == [] and "MLFLOW_TRACKING_URI" not in shell.written


def test_an_upgrade_keeps_the_runs_and_is_undone_where_it_fails(shell: Shell) -> None:
    shell.env.pop("MLFLOW_IMAGE", None)
    older, broken = (f"ghcr.io/mlflow/mlflow:v{version}-full" for version in ("3.17.0", "3.99.0"))
    with engine.mlflow_images(older, broken), ExitStack() as around:
        around.callback(shell.ok, "down", "--delete-data", "--yes")
        (shell.folder / ".env.mlflow").write_text("MLFLOW_SERVER_VERSION=3.17.0\n")
        up = shell.server("up", "--port", str(free_port()))
        assert up.code == 0 and "dspytrack server upgrade" in up.err
        run = log_run(shell)
        done = json.loads(shell.ok("upgrade", "--json"))
        assert done["before"] == "3.17.0" and Path(done["backup"]).is_file()
        assert older not in shell.ok("status", "--json")
        assert read_run(shell, run) == "0.5 a text"
        failed = shell.server("upgrade", "--to", "3.99.0")
        assert failed.code == 6 and "runs as before" in failed.err and "this mlflow is broken" in failed.err
        assert read_run(shell, run) == "0.5 a text" and count_runs(shell) == 1
        assert broken not in shell.ok("status", "--json")
        assert len(list((shell.folder / ".dspytrack/server/backups").glob("*.tar"))) == 2
