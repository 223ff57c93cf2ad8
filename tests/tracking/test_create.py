"""A record's MLflow run: created once, in its experiment, whatever happened to earlier tries."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import mlflow
import pytest

from dspytrack.record.info import TrackingInfo
from dspytrack.tracking import MLflowConfig, create
from dspytrack.tracking.create import find_or_create
from dspytrack.tracking.run_ids import RUN_TAG
from tests.support.records import make_record


def runs_of(client: mlflow.MlflowClient, config: MLflowConfig) -> list[mlflow.entities.Run]:
    """The runs of the test's experiment."""
    return list(client.search_runs([client.get_experiment_by_name(config.experiment_name).experiment_id]))


def test_a_run_is_created_with_its_name_start_and_tags_and_found_from_then_on(
    config: MLflowConfig, client: mlflow.MlflowClient, tmp_path: Path
) -> None:
    record = make_record(tmp_path, started_at=1234.5, tags={"team": "x"})
    run_id = find_or_create(client, record, config)
    assert find_or_create(client, record, config) == run_id
    [run] = runs_of(client, config)
    assert (run.info.run_id, run.info.run_name, run.info.start_time) == (run_id, "a run", 1234500)
    assert (run.data.tags["team"], run.data.tags[RUN_TAG]) == ("x", record.run_id)
    experiment = client.get_experiment_by_name(config.experiment_name)
    assert experiment.artifact_location == config.artifact_location
    assert record.tracking == TrackingInfo(
        tracking_uri=config.shown, experiment=config.experiment_name, mlflow_run_id=run_id
    )


def test_the_experiment_of_the_request_comes_before_that_of_the_settings(
    config: MLflowConfig, client: mlflow.MlflowClient, tmp_path: Path
) -> None:
    record = make_record(tmp_path)
    record.write("request.json", {"tracking": {"experiment_name": f"{tmp_path.name}, its own"}})
    find_or_create(client, record, config)
    assert client.get_experiment_by_name(config.experiment_name) is None
    assert record.tracking.experiment == f"{tmp_path.name}, its own"


def test_a_run_that_was_created_and_not_written_down_is_found_by_its_tag(
    config: MLflowConfig, client: mlflow.MlflowClient, tmp_path: Path
) -> None:
    record = make_record(tmp_path)
    run_id = find_or_create(client, record, config)
    (record.folder / "tracking.json").unlink()
    assert find_or_create(client, record, config) == run_id
    assert record.tracking.mlflow_run_id == run_id


def test_a_run_that_was_deleted_or_is_of_another_store_is_created_anew(
    config: MLflowConfig, client: mlflow.MlflowClient, tmp_path: Path
) -> None:
    record = make_record(tmp_path)
    first = find_or_create(client, record, config)
    record.update_tracking(params_sent=True, version_sent="x")
    client.delete_run(first)
    second = find_or_create(client, record, config)
    assert second != first
    assert (record.tracking.params_sent, record.tracking.version_sent) == (False, None)
    record.update_tracking(mlflow_run_id="0" * 32)  # one that the store never had
    assert find_or_create(client, record, config) == second
    record.update_tracking(tracking_uri="sqlite:///other.db")
    assert find_or_create(client, record, config) == second


def test_a_deleted_experiment_is_restored(config: MLflowConfig, client: mlflow.MlflowClient, tmp_path: Path) -> None:
    experiment = client.create_experiment(config.experiment_name)
    client.delete_experiment(experiment)
    find_or_create(client, make_record(tmp_path), config)
    assert client.get_experiment(experiment).lifecycle_stage == "active"


def test_an_experiment_that_another_run_creates_meanwhile_is_used(
    config: MLflowConfig, client: mlflow.MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = client.create_experiment

    def late(name: str, **options: Any) -> str:
        really(name, **options)
        return str(really(name, **options))

    monkeypatch.setattr(client, "create_experiment", late)
    find_or_create(client, make_record(tmp_path), config)
    assert len(runs_of(client, config)) == 1


def test_a_server_that_refuses_at_once_was_not_left_waiting_and_one_that_is_slow_may_still_create_the_run(
    config: MLflowConfig, client: mlflow.MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(*_: object) -> str:
        raise ConnectionError("refused")

    record = make_record(tmp_path)
    monkeypatch.setattr(create, "_created", refusing)
    with pytest.raises(ConnectionError):
        find_or_create(client, record, config)
    assert record.tracking == TrackingInfo(tracking_uri=config.shown)
    monkeypatch.setattr(create, "AT_ONCE_SECONDS", -1.0)
    with pytest.raises(ConnectionError):
        find_or_create(client, record, config)
    assert record.tracking.asked_at is not None


def test_a_run_that_a_slow_server_creates_late_is_not_created_twice(
    config: MLflowConfig, client: mlflow.MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, late = make_record(tmp_path), list[threading.Timer]()
    really = create._created

    def unanswered(*arguments: Any) -> str:
        late.append(threading.Timer(1.0, really, arguments))
        late[0].start()
        time.sleep(0.2)
        raise TimeoutError("no answer yet")

    monkeypatch.setattr(create, "AT_ONCE_SECONDS", 0.1)
    monkeypatch.setattr(create, "_created", unanswered)
    with pytest.raises(TimeoutError):
        find_or_create(client, record, config)
    monkeypatch.setattr(create, "_created", really)
    run_id = find_or_create(client, record, config)
    late[0].join()
    assert [run.info.run_id for run in runs_of(client, config)] == [run_id]
