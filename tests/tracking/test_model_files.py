"""Models on their way to MLflow and back."""

from __future__ import annotations

from pathlib import Path

import dspy
import mlflow
import pytest

from dspytrack.errors import NotFoundError, UsageError
from dspytrack.programs.package import load
from dspytrack.programs.rebuild import spec_for
from dspytrack.tracking import MLflowConfig
from dspytrack.tracking.model_files import check_empty, download, packed, pull

PROGRAM = dspy.Predict("text -> label")


@pytest.fixture
def run_id(client: mlflow.MlflowClient, config: MLflowConfig) -> str:
    """A run with a model."""
    experiment = client.create_experiment(config.experiment_name, artifact_location=config.artifact_location)
    found = str(client.create_run(experiment, tags={"status": "failed"}).info.run_id)
    with packed(PROGRAM, "optimized_model", {"note": "x"}, spec_for(PROGRAM, None)) as folder:
        client.log_artifacts(found, str(folder), "models")
    return found


def test_a_pulled_model_loads_has_no_pickle_and_says_where_it_comes_from(
    client: mlflow.MlflowClient, run_id: str, tmp_path: Path
) -> None:
    assert "models/optimized_model.pkl" in {item.path for item in client.list_artifacts(run_id, "models")}
    pulled = pull(client, run_id, tmp_path / "a/model")
    assert (pulled.run_id, pulled.folder) == (run_id, tmp_path / "a/model")
    assert not list(pulled.folder.glob("*.pkl"))
    assert load(pulled.folder).dump_state() == PROGRAM.dump_state()
    assert run_id in (pulled.folder / "README.md").read_text()


def test_a_model_that_was_changed_in_the_store_is_not_pulled(
    client: mlflow.MlflowClient, run_id: str, tmp_path: Path
) -> None:
    (tmp_path / "optimized_model.json").write_text("{}")
    client.log_artifact(run_id, str(tmp_path / "optimized_model.json"), "models")
    with pytest.raises(UsageError, match="sha256"):
        pull(client, run_id, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_run_without_the_model_is_named_with_its_status(
    client: mlflow.MlflowClient, run_id: str, tmp_path: Path
) -> None:
    with pytest.raises(NotFoundError) as caught:
        download(client, run_id, "another", tmp_path)
    assert str(caught.value) == f"this run has no model `another`: {run_id} (failed)"


def test_a_folder_that_is_not_empty_or_cannot_be_written_is_a_mistake(
    client: mlflow.MlflowClient, run_id: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is not empty; choose another folder"):
        check_empty(tmp_path)
    with pytest.raises(UsageError, match=r"cannot be written: .*; choose another folder"):
        check_empty(tmp_path / "file")
    with pytest.raises(UsageError, match=r"cannot be written: .*; choose another folder"):
        pull(client, run_id, tmp_path / "file/model")
    check_empty(tmp_path / "new")


@pytest.mark.parametrize("name", ["program", "../out", "", ".hidden", "a/b"])
def test_a_name_that_files_cannot_have_is_rejected(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be the name of a model's files"), packed(PROGRAM, name, {}, {}):
        pass
