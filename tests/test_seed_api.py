"""The Python API that the product was asked for with, used as its document shows."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import datetime, timezone
from pathlib import Path

import dspy
import mlflow
import pytest

from dspytrack.errors import UsageError
from dspytrack.pipeline import OptimizationPipeline
from dspytrack.results.values import OptimizationResult
from dspytrack.tracking import MLflowConfig, MLflowTracker
from tests.support.lm_server import lm_server
from tests.support.requests import request, rows


def test_the_defaults_are_those_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TRACKING_URI", "EXPERIMENT_NAME", "ARTIFACT_LOCATION", "REGISTRY_URI"):
        monkeypatch.delenv(f"MLFLOW_{name}", raising=False)
    assert MLflowConfig().model_dump() == {
        "tracking_uri": "http://localhost:5000",
        "experiment_name": "dspy-optimization",
        "artifact_location": None,
        "registry_uri": None,
    }


def test_the_variables_asked_for_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TRACKING_URI", "EXPERIMENT_NAME", "ARTIFACT_LOCATION", "REGISTRY_URI"):
        monkeypatch.delenv(f"MLFLOW_{name}", raising=False)
    file = tmp_path / "some.env"
    file.write_text(
        "MLFLOW_TRACKING_URI=http://localhost:5001\nMLFLOW_EXPERIMENT_NAME=mine\n"
        "MLFLOW_ARTIFACT_LOCATION=s3://bucket/mlflow\nMLFLOW_REGISTRY_URI=http://localhost:5002\n"
    )
    config = MLflowConfig.load(file)
    assert (config.tracking_uri, config.experiment_name) == ("http://localhost:5001", "mine")
    assert (config.artifact_location, config.registry_uri) == ("s3://bucket/mlflow", "http://localhost:5002")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "of the environment")
    assert MLflowConfig.load(file).experiment_name == MLflowConfig().experiment_name == "of the environment"


@pytest.mark.integration
def test_every_snippet_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-for-loopback")
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path}/m.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)

    async def story(api_base: str) -> None:
        mlflow_config = MLflowConfig(tracking_uri=uri, experiment_name="dspy-optimization")
        pipeline = OptimizationPipeline(mlflow_config=mlflow_config, enable_tracking=True)
        result = await pipeline.run_optimization(
            request=request(api_base, tmp_path),
            baseline_metrics={"success_rate": 0.9, "avg_cost": 0.1},
            training_data=rows(60),
        )
        tracker = MLflowTracker()
        model = await tracker.load_model_artifact(run_id=result.run_id, artifact_name="optimized_model")
        assert len(model.predictors()[0].demos) == 4
        assert result.run_id == result.mlflow_run_id != result.record_id
        same = await tracker.load_model_artifact(run_id=result.record_id)
        assert same.dump_state() == model.dump_state()
        best_run = await tracker.get_best_run(metric="improvement_percentage", order_by="DESC")
        assert best_run.info.run_id == result.run_id
        assert best_run.data.params["stated_baseline_success_rate"] == "0.9"
        assert best_run.data.metrics["baseline_success_rate"] == 0.5
        runs = await tracker.search_runs(filter_string="metrics.improvement_percentage > 0.2", max_results=10)
        assert [f"{run.data.metrics['improvement_percentage']:.2%}" for run in runs] == ["100.00%"]

        mlflow.set_tracking_uri(uri)
        metadata = {"algorithm": "miprov2", "improvement": 0.25, "created_at": datetime.now(timezone.utc).isoformat()}
        with pytest.raises(UsageError, match="no MLflow run is active"):
            await tracker.log_model_artifact(model=model, artifact_name="optimized_model", metadata=metadata)
        with mlflow.start_run() as run:
            await tracker.log_model_artifact(model=model, artifact_name="optimized_model", metadata=metadata)
        again = await tracker.load_model_artifact(run.info.run_id)
        assert again.predictors()[0].demos == model.predictors()[0].demos
        assert mlflow.search_experiments()

    try:
        with lm_server() as server:
            asyncio.run(story(server.api_base))
    finally:
        mlflow.set_tracking_uri(None)  # it is the process's own, and other tests are in it
    assert isinstance(dspy.settings.lm, type(None))


def test_a_run_cancelled_before_it_has_a_plan_asks_no_lm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-for-loopback")
    with lm_server() as server:
        runs = tmp_path / "runs"

        async def cancelled() -> None:
            pipeline = OptimizationPipeline(enable_tracking=False, runs_dir=runs)
            task = asyncio.create_task(pipeline.run_optimization(request(server.api_base, tmp_path), None, rows(60)))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(cancelled())  # waits for the thread as well
        assert server.billed == 0
    results = [json.loads(path.read_text())["status"] for path in runs.glob("*/result.json")]
    assert results in ([], ["interrupted"])


def test_runs_asked_for_at_once_in_one_process_do_not_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-for-loopback")
    with lm_server(delay=0.02) as first, lm_server(delay=0.02) as second:

        async def both() -> list[OptimizationResult]:
            pipeline = OptimizationPipeline(enable_tracking=False, runs_dir=tmp_path / "runs")
            asked = [request(server.api_base, tmp_path) for server in (first, second)]
            return list(await asyncio.gather(*(pipeline.run_optimization(one, None, rows(60)) for one in asked)))

        began = time.monotonic()
        results = asyncio.run(both())
        took = time.monotonic() - began
    assert [result.status for result in results] == ["completed", "completed"]
    assert [result.usage["task"].calls for result in results] == [first.billed, second.billed] == [48, 48]
    assert sum(result.duration_seconds for result in results) < took
