"""Self-tests of a store: they leave it as it was."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException, get_error_code

from dspytrack.errors import UnreachableError
from dspytrack.tracking import MLflowConfig
from dspytrack.tracking.selftest import ask, be_impatient, check_login, check_registry, try_artifacts, try_run
from tests.support.ports import free_port


def runs_in(client: mlflow.MlflowClient, name: str, view: int = ViewType.ALL) -> list[mlflow.entities.Run]:
    """Runs of an experiment, deleted ones included."""
    return list(client.search_runs([client.get_experiment_by_name(name).experiment_id], run_view_type=view))


def test_an_experiment_that_exists_is_used_and_keeps_no_run(config: MLflowConfig, client: mlflow.MlflowClient) -> None:
    client.create_experiment(config.experiment_name, artifact_location=config.artifact_location)
    for _ in range(2):
        written = try_run(config)
        assert (written.experiment, written.is_configured, written.is_left) == (config.experiment_name, True, False)
    assert runs_in(client, config.experiment_name, ViewType.ACTIVE_ONLY) == []
    assert len(runs_in(client, config.experiment_name)) == 1  # MLflow keeps it until its gc; it is used again


def test_an_experiment_that_does_not_exist_yet_is_not_created_and_doctors_own_is_deleted(
    config: MLflowConfig, client: mlflow.MlflowClient
) -> None:
    for _ in range(2):
        written = try_run(config)
        assert not written.is_configured and written.experiment.startswith("dspytrack-doctor-")
        assert client.get_experiment_by_name(written.experiment).lifecycle_stage == "deleted"
    assert client.get_experiment_by_name(config.experiment_name) is None


def test_artifacts_are_written_read_and_deleted_with_their_folders(config: MLflowConfig, tmp_path: Path) -> None:
    own = config.model_copy(update={"artifact_location": str(tmp_path / "artifacts")})
    written = try_artifacts(own)
    assert written.artifact_uri.startswith(str(tmp_path / "artifacts")) and not written.is_left
    assert not list(tmp_path.rglob("doctor.txt")) and not (tmp_path / "artifacts").exists()


def test_a_login_that_may_not_delete_leaves_a_run_and_says_so(
    config: MLflowConfig, client: mlflow.MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: Any) -> None:
        raise MlflowException("no", error_code=get_error_code(403))

    client.create_experiment(config.experiment_name)
    monkeypatch.setattr(mlflow.MlflowClient, "delete_run", forbidden)
    assert try_run(config).is_left
    monkeypatch.undo()
    assert not try_run(config).is_left
    assert len(runs_in(client, config.experiment_name)) == 1


def test_a_store_that_returns_an_earlier_number_fails(config: MLflowConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    try_run(config)
    monkeypatch.setattr(mlflow.MlflowClient, "log_metric", lambda *_: None)
    with pytest.raises(UnreachableError, match="another metric was read than was written"):
        try_run(config)


def test_a_store_that_answers_can_be_read_and_one_that_does_not_is_out_of_reach(
    config: MLflowConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_login(config)
    check_registry(config)
    for name in ("MAX_RETRIES", "TIMEOUT"):
        monkeypatch.setenv(f"MLFLOW_HTTP_REQUEST_{name}", "")  # put back after the test
    be_impatient()
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"
    gone = MLflowConfig(tracking_uri=f"http://127.0.0.1:{free_port()}")
    for look in (check_login, check_registry, try_run, lambda one: ask(one, "/health")):
        with pytest.raises(UnreachableError, match="does not answer"):
            look(gone)
