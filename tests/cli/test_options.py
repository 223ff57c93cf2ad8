"""What the options that commands share come to."""

from __future__ import annotations

from pathlib import Path

import mlflow
import pytest

from dspytrack.cli.options import config_from, tracked_in, tracker_from
from dspytrack.errors import UsageError


@pytest.fixture
def env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An env file of a store that does not exist yet."""
    for name in ("TRACKING_URI", "EXPERIMENT_NAME", "ARTIFACT_LOCATION", "REGISTRY_URI"):
        monkeypatch.delenv(f"MLFLOW_{name}", raising=False)
    file = tmp_path / "team.env"
    file.write_text("MLFLOW_TRACKING_URI=sqlite:///m.db\nMLFLOW_EXPERIMENT_NAME=mine\n")
    return file


def test_settings_come_from_the_env_file_that_is_named(env_file: Path) -> None:
    found = config_from(env_file)
    assert (found.tracking_uri, found.experiment_name) == (f"sqlite:///{env_file.parent}/m.db", "mine")
    assert tracked_in(env_file) == found


def test_a_run_is_not_started_where_it_cannot_be_tracked(env_file: Path) -> None:
    env_file.write_text("MLFLOW_TRACKING_URI=sqlite:///missing/m.db\n")
    with pytest.raises(UsageError, match="there is no folder"):
        tracked_in(env_file)


def test_an_experiment_that_is_named_has_to_exist_and_that_of_the_settings_need_not(env_file: Path) -> None:
    assert tracker_from(env_file, None).config.experiment_name == "mine"
    mlflow.MlflowClient(f"sqlite:///{env_file.parent}/m.db").create_experiment("theirs")
    assert tracker_from(env_file, "theirs").config.experiment_name == "theirs"
    with pytest.raises(UsageError, match="Did you mean `theirs`"):
        tracker_from(env_file, "their")
