"""Records on their way into a real MLflow store (sqlite), read back by plain MLflow."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import mlflow
import pytest

from dspytrack.errors import UnreachableError
from dspytrack.optimization.opening import open_new
from dspytrack.optimization.plan import make_plan
from dspytrack.optimization.record import Record
from dspytrack.pipeline import OptimizationPipeline
from dspytrack.tracking import MLflowConfig, projection
from dspytrack.tracking.projection import begin, publish
from dspytrack.tracking.sync import sync, unsent
from tests.faults import OPTIMIZERS
from tests.lm_server import lm_server
from tests.runs import request, rows

NOWHERE = "http://127.0.0.1:9/v1"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> MLflowConfig:
    """One store for the file."""
    folder = tmp_path_factory.mktemp("store")
    return MLflowConfig(tracking_uri=f"sqlite:///{folder}/m.db", artifact_location=str(folder / "artifacts"))


@pytest.fixture(autouse=True)
def a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """LMs are built with it."""
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-for-loopback")


def record_of(folder: Path, optimizer: str = "labeled_few_shot") -> Record:
    """The record of a run by an optimizer that is a bare name, as it is before the first call."""
    plan = make_plan(request(NOWHERE, folder, optimizer=optimizer), rows(120))
    record = open_new(plan, folder / "runs", {})
    record.note(tracked=True)
    record.sit_down()
    return record


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_an_optimizer_given_as_a_bare_name_begins_in_mlflow(
    config: MLflowConfig, tmp_path: Path, optimizer: str
) -> None:
    run_id = begin(record_of(tmp_path, optimizer), config)
    run = mlflow.MlflowClient(config.tracking_uri).get_run(run_id)
    assert run.info.status == "RUNNING"
    assert run.data.tags["algorithms"] == optimizer
    assert optimizer in " ".join(run.data.params.values())
    assert all(run.data.params)


@pytest.mark.integration
def test_a_run_by_a_bare_labeled_few_shot_ends_in_mlflow(config: MLflowConfig, tmp_path: Path) -> None:
    with lm_server() as server:
        pipeline = OptimizationPipeline(config, runs_dir=tmp_path / "runs")
        result = pipeline.run(request(server.api_base, tmp_path, optimizer="labeled_few_shot"), training_data=rows(60))
    assert result.tracking_error is None
    assert mlflow.MlflowClient(config.tracking_uri).get_run(str(result.mlflow_run_id)).info.status == "FINISHED"


def test_a_run_killed_synced_resumed_and_killed_again_is_synced_again(config: MLflowConfig, tmp_path: Path) -> None:
    client, record = mlflow.MlflowClient(config.tracking_uri), record_of(tmp_path)
    run_id = begin(record, config)
    assert [(one.run_id, sent) for one, sent in sync(config, runs_dir=tmp_path / "runs")] == [(record.run_id, run_id)]
    assert client.get_run(run_id).info.status == "KILLED"
    assert unsent(config, tmp_path / "runs") == []
    record.sit_down()
    assert begin(record, config) == run_id
    assert client.get_run(run_id).info.status == "RUNNING"
    assert [one.run_id for one in unsent(config, tmp_path / "runs")] == [record.run_id]
    assert publish(record, config) == run_id
    assert client.get_run(run_id).info.status == "KILLED"
    assert unsent(config, tmp_path / "runs") == []


def test_a_run_that_a_slow_server_makes_late_is_not_made_twice(
    config: MLflowConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = record_of(tmp_path)
    late: list[threading.Thread] = []
    really = projection._created

    def unanswered(*arguments: Any) -> str:
        late.append(threading.Timer(3.0, really, arguments))
        late[0].start()
        time.sleep(1.2)
        raise TimeoutError("no answer yet")

    monkeypatch.setattr(projection, "_created", unanswered)
    with pytest.raises(UnreachableError):
        begin(record, config)
    monkeypatch.setattr(projection, "_created", really)
    run_id = begin(record, config)
    late[0].join()
    client = mlflow.MlflowClient(config.tracking_uri)
    experiment = client.get_experiment_by_name(config.experiment_name)
    tag = f"tags.`{projection.RUN_TAG}` = '{record.run_id}'"
    assert [run.info.run_id for run in client.search_runs([experiment.experiment_id], tag)] == [run_id]
