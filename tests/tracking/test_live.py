"""A run in a real MLflow store (sqlite), read back."""

from __future__ import annotations

import json
from pathlib import Path

import mlflow
import pytest

from dspytrack.errors import NotFoundError, UsageError
from dspytrack.pipeline import OptimizationPipeline
from dspytrack.programs.package import load
from dspytrack.results.catalogue import METRIC_NAMES
from dspytrack.tracking import MLflowConfig, MLflowTracker
from tests.support.lm_server import lm_server
from tests.support.requests import request, rows


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> tuple[MLflowConfig, str]:
    """One tracked run."""
    folder = tmp_path_factory.mktemp("tracked")
    config = MLflowConfig(tracking_uri=f"sqlite:///{folder}/m.db", artifact_location=str(folder / "artifacts"))
    with pytest.MonkeyPatch.context() as patch, lm_server() as server:
        patch.setenv("OPENAI_API_KEY", "a-key-for-loopback")
        pipeline = OptimizationPipeline(config, runs_dir=folder / "runs")
        result = pipeline.run(request(server.api_base, folder), training_data=rows(60))
    assert result.mlflow_run_id is not None, result.tracking_error
    return config, result.mlflow_run_id


def test_a_run_is_read_back_with_every_metric_and_artifact(tracked: tuple[MLflowConfig, str]) -> None:
    config, run_id = tracked
    client = mlflow.MlflowClient(config.tracking_uri)
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert set(METRIC_NAMES) <= set(run.data.metrics)
    assert run.data.tags["verdict"] == "better"
    assert run.data.params["lm.model"] == "openai/gpt-4o-mini"
    found = {item.path for item in client.list_artifacts(run_id)}
    found |= {item.path for item in client.list_artifacts(run_id, "models")}
    assert found >= {
        "training_data.json",
        "key_improvements.txt",
        "algorithm_parameters.json",
        "config.yaml",
        "evaluation.json",
        "report.html",
        "models/optimized_model.json",
        "models/optimized_model.pkl",
        "models/optimized_model_metadata.json",
    }


def test_best_knows_its_metrics(tracked: tuple[MLflowConfig, str]) -> None:
    tracker = MLflowTracker(tracked[0])
    assert tracker.best().info.run_id == tracked[1]
    assert tracker.best("statistical_significance", significant=True).info.run_id == tracked[1]
    with pytest.raises(UsageError, match="improvement_percentage"):
        tracker.best("improvement_percentag")
    with pytest.raises(NotFoundError):
        tracker.best(filter_string="metrics.improvement_percentage > 50")


def test_best_finds_nothing_where_only_failed_runs_are_and_takes_no_run_that_is_not_better(tmp_path: Path) -> None:
    config = MLflowConfig(tracking_uri=f"sqlite:///{tmp_path}/m.db", artifact_location=str(tmp_path / "artifacts"))
    client, tracker = mlflow.MlflowClient(config.tracking_uri), MLflowTracker(config)
    experiment = client.create_experiment(config.experiment_name, artifact_location=config.artifact_location)

    def logged(gain: float | None, verdict: str | None) -> str:
        run_id = str(client.create_run(experiment).info.run_id)
        client.log_metric(run_id, "iterations", 3)
        if gain is not None:
            client.log_metric(run_id, "improvement_percentage", gain)
            client.log_metric(run_id, "statistical_significance", 0.01)
        if verdict is not None:
            client.set_tag(run_id, "verdict", verdict)
        client.set_terminated(run_id, "FINISHED" if verdict else "FAILED")
        return run_id

    logged(None, None)
    with pytest.raises(NotFoundError, match=r"^no finished run has improvement_percentage, in the experiment "):
        tracker.best()
    assert tracker.search("metrics.improvement_percentage > 0.1") == []
    for gain, verdict in ((0.9, "inconclusive"), (-0.9, "worse"), (0.7, "no difference shown")):
        logged(gain, verdict)
    with pytest.raises(NotFoundError, match=r"is significantly better, in "):
        tracker.best(significant=True)
    found = logged(0.2, "better")
    assert tracker.best(significant=True).info.run_id == found
    assert tracker.best().data.tags["verdict"] == "inconclusive"


def test_a_pulled_model_loads_and_a_changed_one_does_not(tracked: tuple[MLflowConfig, str], tmp_path: Path) -> None:
    out = MLflowTracker(tracked[0]).pull("best", tmp_path / "model").folder
    assert not list(out.glob("*.pkl"))
    assert len(load(out).predictors()[0].demos) == 4
    state = json.loads((out / "optimized_model.json").read_text())
    (out / "optimized_model.json").write_text(json.dumps(state))
    with pytest.raises(UsageError, match="sha256"):
        load(out)
