"""A run in a real MLflow store (sqlite) while it goes and at its end, and what a store can do to it."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import mlflow
import pytest

from dspytrack.pipeline import OptimizationPipeline
from dspytrack.record.store import Record
from dspytrack.results.catalogue import METRIC_NAMES
from dspytrack.results.values import OptimizationResult
from dspytrack.runs.events import Finished, Note, Started
from dspytrack.tracking import MLflowConfig, live
from dspytrack.tracking.live import LiveRun
from dspytrack.tracking.sync import unsent
from tests.support.lm_server import lm_server
from tests.support.ports import free_port
from tests.support.records import make_record, write_result
from tests.support.requests import request, rows


def test_a_run_is_read_back_with_every_metric_and_artifact(
    config: MLflowConfig, client: mlflow.MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-for-loopback")
    with lm_server() as server:
        pipeline = OptimizationPipeline(config, runs_dir=tmp_path / "runs")
        result = pipeline.run(request(server.api_base, tmp_path), training_data=rows(60))
    assert result.mlflow_run_id is not None, result.tracking_error
    assert (result.run_id, result.tracking_uri) == (result.mlflow_run_id, config.shown)
    assert Record(Path(result.record)).run_id == result.record_id
    run_id = result.run_id
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


def at_work(record: Record, config: MLflowConfig) -> LiveRun:
    """A live run whose first event was sent; the event's plan is read by nobody here."""
    record.begin_attempt()
    found = LiveRun(record, config)
    found(Started(record, None))  # type: ignore[arg-type]
    return found


def ended(run: LiveRun, record: Record, **values: object) -> OptimizationResult:
    """The result of a run that ends now, as its pipeline returns it."""
    result = write_result(record, **values)
    record.update_info(ended_at=time.time())
    run(Finished(result, 1.0))
    return run.with_tracking(result)


def test_a_run_is_running_in_mlflow_from_its_start_and_finished_at_its_end(
    config: MLflowConfig, client: mlflow.MlflowClient, tmp_path: Path
) -> None:
    record = make_record(tmp_path)
    run = at_work(record, config)
    run(Note("nothing for MLflow"))
    until = time.monotonic() + 60
    while record.tracking.mlflow_run_id is None and time.monotonic() < until:
        time.sleep(0.05)
    assert client.get_run(str(record.tracking.mlflow_run_id)).info.status == "RUNNING"
    result = ended(run, record)
    assert (result.mlflow_run_id, result.tracking_uri) == (record.tracking.mlflow_run_id, config.shown)
    assert (result.run_id, result.tracking_error) == (result.mlflow_run_id, None)
    assert client.get_run(result.run_id).info.status == "FINISHED"
    assert unsent(config, tmp_path) == []
    assert record.info.tracking_seconds is not None and record.info.tracking_seconds < 60


def test_a_server_that_is_gone_costs_the_run_nothing_but_a_word_and_its_id_stays_the_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    record, gone = make_record(tmp_path), MLflowConfig(tracking_uri=f"http://127.0.0.1:{free_port()}")
    result = ended(at_work(record, gone), record)
    assert result.tracking_error is not None and "does not answer" in result.tracking_error
    assert (result.mlflow_run_id, result.run_id) == (None, record.run_id)
    assert [one.run_id for one in unsent(gone, tmp_path)] == [record.run_id]


@pytest.mark.parametrize(("status", "limit"), [("completed", "FINISH_SECONDS"), ("interrupted", "INTERRUPTED_SECONDS")])
@pytest.mark.parametrize("slow", ["begin", "publish"])
def test_a_slow_server_holds_the_end_of_a_run_up_no_longer_than_is_allowed(
    slow: str, status: str, limit: str, config: MLflowConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()

    def hanging(*_: object) -> str:
        over.wait(60)
        return "too late"

    monkeypatch.setattr(live, slow, hanging)
    monkeypatch.setattr(live, limit, 1.5)
    record = make_record(tmp_path)
    run = at_work(record, config)
    try:
        began = time.monotonic()
        result = ended(run, record, status=status)
        assert time.monotonic() - began < 15  # one and a half seconds, on a machine that is busy
    finally:
        over.set()
    said = "does not answer" if slow == "begin" else "did not take it within 1.5 s"
    assert result.tracking_error == f"{config.shown} {said}"
    assert result.mlflow_run_id is None


def test_an_error_that_nobody_foresaw_is_reported_and_does_not_end_the_run(
    config: MLflowConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> str:
        raise ValueError("a bug")

    monkeypatch.setattr(live, "publish", broken)
    record = make_record(tmp_path)
    assert ended(at_work(record, config), record).tracking_error == "ValueError: a bug"
