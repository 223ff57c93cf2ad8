"""MLflowConfig: from the env file and the environment, which wins."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from dspytrack.errors import UsageError
from dspytrack.tracking import ENV_FILE, MLflowConfig

NAMES = ("TRACKING_URI", "EXPERIMENT_NAME", "ARTIFACT_LOCATION", "REGISTRY_URI", "TRACKING_SERVER_CERT_PATH")


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of the variables is set; what a file sets is undone after the test."""
    for name in NAMES:
        monkeypatch.setenv(f"MLFLOW_{name}", "")


def test_what_is_given_comes_before_the_environment_and_that_before_the_defaults(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert MLflowConfig().experiment_name == "dspy-optimization"
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "of the environment")
    assert MLflowConfig().experiment_name == "of the environment"
    assert MLflowConfig(experiment_name="given").experiment_name == "given"
    with pytest.raises(ValidationError, match="experiment"):
        MLflowConfig(experiment="x")  # type: ignore[call-arg]


def test_relative_paths_in_the_env_file_start_at_its_folder(tmp_path: Path) -> None:
    file = tmp_path / "team.env"
    file.write_text("MLFLOW_TRACKING_URI=sqlite:///m.db\nMLFLOW_TRACKING_SERVER_CERT_PATH=ca.pem\n")
    assert MLflowConfig.load(file).tracking_uri == f"sqlite:///{tmp_path}/m.db"
    assert os.environ["MLFLOW_TRACKING_SERVER_CERT_PATH"] == str(tmp_path / "ca.pem")
    file.write_text("MLFLOW_TRACKING_URI=sqlite:////a/m.db\nMLFLOW_REGISTRY_URI=sqlite:///:memory:\n")
    found = MLflowConfig.load(file)
    assert (found.tracking_uri, found.registry_uri) == ("sqlite:////a/m.db", "sqlite:///:memory:")


def test_the_default_env_file_is_read_where_it_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert MLflowConfig.load().tracking_uri == "http://localhost:5000"
    ENV_FILE.write_text("MLFLOW_TRACKING_URI=http://localhost:5001\n")
    assert MLflowConfig.load().tracking_uri == "http://localhost:5001"


def test_an_env_file_that_is_missing_or_unreadable_is_a_mistake_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no\.env: no such file; expected lines such as MLFLOW_TRACKING_URI="):
        MLflowConfig.load(tmp_path / "no.env")
    (tmp_path / "latin.env").write_bytes("A=ü\n".encode("latin-1"))
    with pytest.raises(UsageError, match=r"latin\.env: cannot be read: .*, in UTF-8"):
        MLflowConfig.load(tmp_path / "latin.env")


@pytest.mark.parametrize("name", ["MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"])
def test_an_address_that_mlflow_cannot_take_is_named_by_its_variable(tmp_path: Path, name: str) -> None:
    (tmp_path / "team.env").write_text(f"{name}=foo\n")
    with pytest.raises(UsageError, match=f"{name}: expected an address"):
        MLflowConfig.load(tmp_path / "team.env")


def test_a_password_is_shown_to_nobody() -> None:
    assert MLflowConfig(tracking_uri="http://me:a-password@host").shown == "http://me:***@host"
