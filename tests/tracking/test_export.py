"""Records on their way into a real MLflow store (sqlite), read back by plain MLflow."""

from __future__ import annotations

import json
import re
import threading
import time
from pathlib import Path
from typing import Any

import mlflow
import pytest
from pydantic import ValidationError

from dspytrack.config.schema import Tracking
from dspytrack.errors import UnreachableError
from dspytrack.pipeline import OptimizationPipeline
from dspytrack.record.store import Record
from dspytrack.runs.plan import make_plan
from dspytrack.runs.resume import reopen
from dspytrack.runs.start import start_record
from dspytrack.tracking import MLflowConfig, create
from dspytrack.tracking.export import begin, publish
from dspytrack.tracking.run_ids import RUN_TAG
from dspytrack.tracking.sync import sync, unsent
from tests.support.killed_runs import OPTIMIZERS
from tests.support.lm_server import lm_server
from tests.support.requests import request, rows

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


def test_a_run_killed_synced_resumed_and_killed_again_is_synced_again(config: MLflowConfig, tmp_path: Path) -> None:
    client, record = mlflow.MlflowClient(config.tracking_uri), record_of(tmp_path)
    run_id = begin(record, config)
    assert [(one.run_id, sent) for one, sent in sync(config, runs_dir=tmp_path / "runs")] == [(record.run_id, run_id)]
    assert client.get_run(run_id).info.status == "KILLED"
    assert unsent(config, tmp_path / "runs") == []
    record.begin_attempt()
    assert begin(record, config) == run_id
    assert client.get_run(run_id).info.status == "RUNNING"
    assert [one.run_id for one in unsent(config, tmp_path / "runs")] == [record.run_id]
    assert publish(record, config) == run_id
    assert client.get_run(run_id).info.status == "KILLED"
    assert unsent(config, tmp_path / "runs") == []


@pytest.mark.integration
def test_a_run_that_a_slow_server_makes_late_is_not_made_twice(
    config: MLflowConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = record_of(tmp_path)
    late: list[threading.Thread] = []
    really = create._created

    def unanswered(*arguments: Any) -> str:
        late.append(threading.Timer(3.0, really, arguments))
        late[0].start()
        time.sleep(1.2)
        raise TimeoutError("no answer yet")

    monkeypatch.setattr(create, "_created", unanswered)
    with pytest.raises(UnreachableError):
        begin(record, config)
    monkeypatch.setattr(create, "_created", really)
    run_id = begin(record, config)
    late[0].join()
    client = mlflow.MlflowClient(config.tracking_uri)
    experiment = client.get_experiment_by_name(config.experiment_name)
    tag = f"tags.`{RUN_TAG}` = '{record.run_id}'"
    assert [run.info.run_id for run in client.search_runs([experiment.experiment_id], tag)] == [run_id]


def test_an_interrupted_run_tells_in_mlflow_what_it_took(config: MLflowConfig, tmp_path: Path) -> None:
    record = record_of(tmp_path)
    usage = {"task": {"calls": 3, "cost_usd": 0.5}}
    result = {"run_id": record.run_id, "record": str(record.folder), "status": "interrupted", "usage": usage}
    record.write("result.json", result | {"duration_seconds": 7.0})
    run = mlflow.MlflowClient(config.tracking_uri).get_run(publish(record, config))
    assert run.info.status == "KILLED"
    assert run.data.metrics["total_cost_usd"] == run.data.metrics["task_cost_usd"] == 0.5
    assert run.data.metrics["duration_seconds"] == 7.0


def test_a_killed_run_tells_in_mlflow_what_its_record_says_it_took(config: MLflowConfig, tmp_path: Path) -> None:
    record = record_of(tmp_path)
    bill = {"role": "task", "prompt_tokens": 5, "completion_tokens": 1, "cost_usd": 0.25, "seconds": 0.1}
    lines = [json.dumps({"key": str(number), "bill": bill, "response": {}}) for number in range(2)]
    record.responses.write_text("\n".join([*lines, "no JSON", '{"key": "torn', ""]))
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
    told: list[str] = []
    reopen(make_plan(after, rows(120)), tmp_path / "runs", record.run_id, told.append)
    record.begin_attempt()
    assert publish(record, config) == run_id
    tags = mlflow.MlflowClient(config.tracking_uri).get_run(run_id).data.tags
    assert (tags["stays"], tags["changes"], "goes" in tags) == ("1", "4", False)
    assert json.loads(tags["request_changes"])[0]["keys"]["tracking.tags.goes"] == {"was": "2", "is": None}
    assert "tracking.tags.goes was '2', is not set" in told
    [moved] = [line for line in told if "experiment_name" in line]
    assert moved.endswith(f"; this run stays in the experiment {config.experiment_name}, where it began")


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({"mlflow.runName": "mine"}, "MLflow's own"),
        ({"team//x": "y"}, "`team/x` would do"),
        ({"a": "x" * 5001}, "5000 characters"),
    ],
)
def test_a_tag_that_mlflow_would_refuse_is_refused_before_anything_is_spent(tags: dict[str, str], said: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(said)):
        Tracking(tags=tags)
    assert Tracking(tags={"team/x y:z.1": "ok", "ünï": ""}).tags
