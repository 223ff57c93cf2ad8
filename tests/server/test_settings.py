"""What decides a server's settings: options over the environment over the env file over defaults."""

from __future__ import annotations

from pathlib import Path

import pytest

from dspytrack.errors import NotFoundError, UsageError
from dspytrack.server.settings import (
    ServerOptions,
    check_exposure,
    for_container,
    resolve,
    started_kind,
    without_secrets,
)


@pytest.fixture
def env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An env file that does not exist yet, in an environment without settings."""
    for name in ("KIND", "PORT", "HOST", "AUTH", "WITH_S3", "VERSION", "PROJECT"):
        monkeypatch.delenv(f"MLFLOW_SERVER_{name}", raising=False)
    for name in ("MLFLOW_ARTIFACTS_DESTINATION", "MLFLOW_ARTIFACT_LOCATION", "MLFLOW_BACKEND_STORE_URI"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / ".env.mlflow"


def test_an_option_wins_over_the_environment_and_the_environment_over_the_file(
    env_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert resolve(ServerOptions(env_file), "local").port == 5000
    env_file.write_text("MLFLOW_SERVER_PORT=5001\n")
    assert resolve(ServerOptions(env_file), "local").port == 5001
    monkeypatch.setenv("MLFLOW_SERVER_PORT", "5002")
    assert resolve(ServerOptions(env_file), "local").port == 5002
    assert resolve(ServerOptions(env_file, port=5003), "local").port == 5003


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1"])
def test_a_port_out_of_range_is_rejected_with_the_variable(env_file: Path, port: str) -> None:
    env_file.write_text(f"MLFLOW_SERVER_PORT={port}\n")
    with pytest.raises(UsageError, match=f"MLFLOW_SERVER_PORT: expected a port such as 5000, not `{port}`"):
        resolve(ServerOptions(env_file), "local")


def test_artifacts_have_to_be_in_a_bucket(env_file: Path) -> None:
    with pytest.raises(UsageError, match="expected s3://bucket/path, not `/tmp/artifacts`"):
        resolve(ServerOptions(env_file, artifacts="/tmp/artifacts"), "local")


def test_the_kind_of_server_is_read_from_the_env_file(env_file: Path) -> None:
    with pytest.raises(NotFoundError, match="dspytrack server up"):
        started_kind(env_file)
    env_file.write_text("MLFLOW_SERVER_KIND=local\n")
    assert started_kind(env_file) == "local"
    env_file.write_text("MLFLOW_SERVER_KIND=podman\n")
    with pytest.raises(UsageError, match="MLFLOW_SERVER_KIND: expected compose or local, not `podman`"):
        started_kind(env_file)


@pytest.mark.parametrize(("host", "auth", "insecure"), [("127.0.0.1", False, False), ("0.0.0.0", True, False)])
def test_a_server_that_others_can_reach_needs_a_login(env_file: Path, host: str, auth: bool, insecure: bool) -> None:
    check_exposure(resolve(ServerOptions(env_file, host=host, auth=auth), "local"), insecure)
    open_to_all = resolve(ServerOptions(env_file, host="0.0.0.0"), "local")
    check_exposure(open_to_all, insecure=True)
    with pytest.raises(UsageError, match="add --auth"):
        check_exposure(open_to_all, insecure=False)


def test_the_address_is_one_that_this_machine_can_open(env_file: Path) -> None:
    for host, address in (
        ("0.0.0.0", "http://127.0.0.1:5000"),
        ("::1", "http://[::1]:5000"),
        ("10.1.2.3", "http://10.1.2.3:5000"),
    ):
        assert resolve(ServerOptions(env_file, host=host), "local").address == address


def test_an_s3_store_on_this_machine_has_another_name_in_a_container() -> None:
    assert for_container("http://127.0.0.1:9000") == "http://host.docker.internal:9000"
    assert for_container("https://s3.example.com") == "https://s3.example.com"
    assert for_container(None) == ""


@pytest.mark.parametrize(
    "name",
    [
        "MLFLOW_DB_PASSWORD",
        "MLFLOW_AUTH_ADMIN_PASSWORD",
        "MLFLOW_FLASK_SERVER_SECRET_KEY",
        "MLFLOW_S3_SECRET_ACCESS_KEY",
        "MLFLOW_TRACKING_PASSWORD",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
    ],
)
def test_a_secret_of_the_env_file_is_masked_and_no_other_value(env_file: Path, name: str) -> None:
    env_file.write_text(f"{name}=a-value-to-hide\nMLFLOW_SERVER_HOST=a-host-name\n")
    assert without_secrets("a-value-to-hide at a-host-name", env_file) == "*** at a-host-name"


def test_two_folders_get_two_compose_projects(tmp_path: Path, env_file: Path) -> None:
    other = tmp_path / "other" / ".env.mlflow"
    projects = {resolve(ServerOptions(file), "compose").project for file in (env_file, other)}
    assert len(projects) == 2 and all(name.startswith("dspytrack-") for name in projects)
