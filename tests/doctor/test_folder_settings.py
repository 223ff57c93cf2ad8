"""Where each setting of a folder comes from, as doctor sees it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dspytrack.doctor.folder_settings import FolderSettings
from dspytrack.errors import UsageError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder whose environment has no settings but one."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_SERVER_KIND"):
        monkeypatch.setenv(name, "")  # so that what loading the file sets is taken back
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_source_of_a_value_is_the_file_the_environment_or_the_default(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / ".env.mlflow").write_text("MLFLOW_TRACKING_URI=sqlite:///file.db\nMLFLOW_SERVER_KIND=local\n")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///environment.db")
    here = FolderSettings.read()
    assert here.value("MLFLOW_TRACKING_URI") == "sqlite:///environment.db"
    assert here.source("MLFLOW_TRACKING_URI") == "environment, which wins over .env.mlflow"
    assert here.source("MLFLOW_SERVER_KIND") == ".env.mlflow"
    assert here.source("MLFLOW_EXPERIMENT_NAME") == "default"


def test_an_unknown_kind_of_server_is_none(folder: Path) -> None:
    (folder / ".env.mlflow").write_text("MLFLOW_SERVER_KIND=podman\n")
    assert FolderSettings.read().server_kind is None


def test_a_wrong_setting_is_a_fault_and_a_missing_file_a_usage_error(folder: Path) -> None:
    (folder / ".env.mlflow").write_text("MLFLOW_TRACKING_URI=htp:/nowhere\n")
    here = FolderSettings.read()
    assert here.config is None and "MLFLOW_TRACKING_URI" in (here.fault or "")
    with pytest.raises(UsageError, match=r"no\.env"):
        FolderSettings.read(folder / "no.env")


def test_a_command_repeats_an_env_file_that_is_not_the_default(folder: Path) -> None:
    (folder / "other.env").write_text("")
    assert FolderSettings.read().server_command("up", "--local") == "dspytrack server up --local"
    other = FolderSettings.read(Path("other.env"))
    assert other.server_command("logs") == "dspytrack server logs --env-file other.env"
