"""Records on their way into a real MLflow store (sqlite), read back by plain MLflow."""

from __future__ import annotations

import json
from pathlib import Path

import mlflow
import pytest

from dspytrack.lm.metering.usage import Bill
from dspytrack.pipeline import OptimizationPipeline
from dspytrack.record.store import Record
from dspytrack.runs.plan import make_plan
from dspytrack.runs.resume import reopen
from dspytrack.runs.start import start_record
from dspytrack.tracking import MLflowConfig
from dspytrack.tracking.export import begin, is_sent, publish
from tests.support.killed_runs import OPTIMIZERS
from tests.support.lm_server import lm_server
from tests.support.records import write_responses, write_result
from tests.support.requests import request, rows

NOWHERE = "http://127.0.0.1:9/v1"


@pytest.fixture(autouse=True)
def a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """LMs are built with it."""
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-for-loopback")


def record_of(folder: Path, optimizer: str = "labeled_few_shot") -> Record:
    """The record of a run by an optimizer that is a bare name, as it is before the first call."""
    plan = make_plan(request(NOWHERE, folder, optimizer=optimizer), rows(120))
    record = start_record(plan, folder / "runs", {})
    record.update_info(tracked=True)
    record.begin_attempt()
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


def test_a_record_that_is_sent_twice_is_one_run_and_a_new_attempt_is_to_be_sent_again(
    config: MLflowConfig, client: mlflow.MlflowClient, tmp_path: Path
) -> None:
    record = record_of(tmp_path)
    run_id = begin(record, config)
    assert not is_sent(record, config)
    assert publish(record, config) == publish(record, config) == run_id
    assert is_sent(record, config)
    assert not is_sent(record, config.model_copy(update={"tracking_uri": "sqlite:///other.db"}))
    assert len(client.get_metric_history(run_id, "duration_seconds")) == 1
    assert client.get_run(run_id).info.status == "KILLED"
    record.begin_attempt()
    assert not is_sent(record, config)
    assert begin(record, config) == run_id
    assert client.get_run(run_id).info.status == "RUNNING"
    assert publish(record, config) == run_id
    assert client.get_run(run_id).info.status == "KILLED"
    assert is_sent(record, config)


def test_only_artifacts_that_changed_are_sent_again(
    config: MLflowConfig, client: mlflow.MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = record_of(tmp_path)
    run_id = begin(record, config)
    sent: list[str] = []
    really = mlflow.MlflowClient.log_artifact

    def counted(self: mlflow.MlflowClient, run_id: str, path: str, folder: str | None = None) -> None:
        sent.append(Path(path).name)
        really(self, run_id, path, folder)

    monkeypatch.setattr(mlflow.MlflowClient, "log_artifact", counted)
    record.write_text("artifacts/models/optimized_model.json", "{}")
    record.write_text("artifacts/config.yaml", "seed: 1\n")
    publish(record, config)
    assert sent == ["config.yaml", "optimized_model.json"]
    assert [item.path for item in client.list_artifacts(run_id, "models")] == ["models/optimized_model.json"]
    publish(record, config)
    assert len(sent) == 2


def test_an_interrupted_run_says_in_mlflow_what_it_used(config: MLflowConfig, tmp_path: Path) -> None:
    record = record_of(tmp_path)
    usage = {"task": {"calls": 3, "cost_usd": 0.5}}
    write_result(record, status="interrupted", usage=usage, duration_seconds=7.0)
    run = mlflow.MlflowClient(config.tracking_uri).get_run(publish(record, config))
    assert run.info.status == "KILLED"
    assert run.data.metrics["total_cost_usd"] == run.data.metrics["task_cost_usd"] == 0.5
    assert run.data.metrics["duration_seconds"] == 7.0


def test_a_killed_run_says_in_mlflow_what_its_record_knows_it_used(config: MLflowConfig, tmp_path: Path) -> None:
    record = record_of(tmp_path)
    write_responses(record, *[Bill("task", 5, 1, 0.25)] * 2)
    run = mlflow.MlflowClient(config.tracking_uri).get_run(publish(record, config))
    assert (run.info.status, run.data.metrics["total_cost_usd"], run.data.metrics["task_calls"]) == ("KILLED", 0.5, 2)
    assert 0 <= run.data.metrics["duration_seconds"] < 60


def test_no_odd_tag_or_key_keeps_a_run_out_of_mlflow(config: MLflowConfig, tmp_path: Path) -> None:
    record = record_of(tmp_path)
    odd = {"team//x": "y", "/a/../b": "c", "..": "d", "mlflow.runName": "mine", "": "e", "x" * 300: "f", "x" * 299: "g"}
    params = {"a[b": 1, "a(b": 2, "a_b": 3, "p//q": 4, "p/q": 5}
    record.update_info(tags={**record.info.tags, **odd}, params={**record.info.params, **params})
    run = mlflow.MlflowClient(config.tracking_uri).get_run(publish(record, config))
    assert run.info.run_name == record.info.run_name
    assert set(odd.values()) <= set(run.data.tags.values())
    assert {run.data.params[name] for name in ("a_b", "a_b_2", "a_b_3", "p/q", "p/q_2")} == {"1", "2", "3", "4", "5"}
    assert (run.data.params["a_b"], run.data.params["p/q"]) == ("3", "5")


def test_params_that_arrived_before_are_not_sent_again(config: MLflowConfig, tmp_path: Path) -> None:
    record = record_of(tmp_path)
    run_id = begin(record, config)
    assert record.tracking.params_sent
    record.update_tracking(params_sent=False)  # cut off in between
    record.write("request.json", record.request | {"constraints": {"max_lm_calls": 9}})
    record.update_info(params={"another": 1})
    assert publish(record, config) == run_id
    params = mlflow.MlflowClient(config.tracking_uri).get_run(run_id).data.params
    assert (params["constraints.max_lm_calls"], params["another"]) == ("null", "1")


def test_what_changes_between_two_attempts_is_seen_in_mlflow(config: MLflowConfig, tmp_path: Path) -> None:
    before = request(NOWHERE, tmp_path, tracking={"tags": {"stays": "1", "goes": "2", "changes": "3"}})
    record = start_record(make_plan(before, rows(120)), tmp_path / "runs", {})
    record.begin_attempt()
    run_id = begin(record, config)
    publish(record, config)
    after = request(NOWHERE, tmp_path, tracking={"tags": {"stays": "1", "changes": "4"}, "experiment_name": "other"})
    reopen(make_plan(after, rows(120)), tmp_path / "runs", record.run_id)
    record.begin_attempt()
    assert publish(record, config) == run_id
    tags = mlflow.MlflowClient(config.tracking_uri).get_run(run_id).data.tags
    assert (tags["stays"], tags["changes"], "goes" in tags) == ("1", "4", False)
    assert json.loads(tags["request_changes"])[0]["keys"]["tracking.tags.goes"] == {"was": "2", "is": None}


def test_what_an_earlier_attempt_ended_with_is_gone_once_a_later_one_ends_otherwise(
    config: MLflowConfig, client: mlflow.MlflowClient, tmp_path: Path
) -> None:
    record = record_of(tmp_path)
    write_result(record, status="failed", error="no LM", reason="no LM")
    run_id = publish(record, config)
    assert client.get_run(run_id).data.tags["error"] == "no LM"
    record.begin_attempt()
    record.repair()
    publish(record, config)
    tags = client.get_run(run_id).data.tags
    assert (tags["status"], "error" in tags, "verdict_reason" in tags) == ("interrupted", False, False)
