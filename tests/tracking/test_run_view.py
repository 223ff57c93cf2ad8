"""A run as commands show it: from MLflow, from its record, and from whichever of the two can be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import pytest

from dspytrack.errors import NotFoundError, UnreachableError, UsageError
from dspytrack.lm.metering.usage import Bill
from dspytrack.record.store import Record
from dspytrack.tracking import MLflowConfig, MLflowTracker
from dspytrack.tracking.export import begin, publish
from dspytrack.tracking.run_ids import RUN_TAG
from dspytrack.tracking.run_view import view_of, view_of_record, view_of_run
from tests.support.records import make_record, write_responses, write_result

KEYS = {"run_id", "record_id", "run_name", "status", "metrics", "params", "tags"}


def tracker_of(config: MLflowConfig, runs_dir: Path) -> MLflowTracker:
    """A tracker that looks for records in a folder."""
    return MLflowTracker(config, runs_dir=runs_dir)


def test_a_record_is_shown_with_both_ids_its_folder_and_how_to_resume_it(tmp_path: Path) -> None:
    record = make_record(tmp_path, tags={"team": "x"}, params={"k": 4}, config="c.yaml")
    record.write("request.json", {"lm": {"model": "a"}})
    write_result(record, status="failed", error="no LM", verdict=None, duration_seconds=2.0)
    record.start_tracking(tracking_uri="sqlite:///m.db", mlflow_run_id="0" * 32)
    view = view_of_record(record)
    assert view.to_json() == {
        "run_id": record.run_id,
        "record_id": record.run_id,
        "run_name": "a run",
        "status": "FAILED",
        "metrics": {"iterations": 0.0, "duration_seconds": 2.0},
        "params": {"lm.model": "a", "k": "4"},
        "tags": {"team": "x", "error": "no LM", "status": "failed"},
        "mlflow_run_id": "0" * 32,
        "record": str(record.folder),
        "model": None,
        "resume": f"dspytrack optimize c.yaml --resume --run {record.run_id}",
    }
    assert (view.state, view.verdict) == ("failed", None)


def test_a_record_with_a_model_says_where_and_a_finished_one_is_not_to_be_resumed(tmp_path: Path) -> None:
    record = make_record(tmp_path)
    write_result(record, verdict="better")
    (record.artifacts / "models/optimized_model.json").write_text("{}")
    view = view_of_record(record)
    assert (view.status, view.verdict, view.model) == ("FINISHED", "better", str(record.artifacts / "models"))
    assert "resume" not in view.to_json()


def test_a_killed_run_is_shown_with_what_its_responses_were_billed_and_a_live_one_as_running(tmp_path: Path) -> None:
    record = make_record(tmp_path)
    write_responses(record, Bill("task", 5, 1, 0.25))
    assert view_of_record(record).metrics["total_cost_usd"] == 0.25
    assert (view_of_record(record).status, view_of_record(record).state) == ("KILLED", "interrupted")
    with record.locked():
        assert (view_of_record(record).status, view_of_record(record).state) == ("RUNNING", "running")


def test_a_finished_run_in_mlflow_has_the_keys_that_scripts_know_and_the_records_id(
    config: MLflowConfig, client: mlflow.MlflowClient, tmp_path: Path
) -> None:
    record = make_record(tmp_path)
    write_result(record, verdict="better")
    run_id = publish(record, config)
    found = view_of_run(client.get_run(run_id), tmp_path).to_json()
    assert set(found) == KEYS
    assert (found["run_id"], found["record_id"], found["status"]) == (run_id, record.run_id, "FINISHED")
    assert found["tags"]["verdict"] == "better" and found["metrics"]["iterations"] == 0


def test_a_run_that_dspytrack_did_not_make_has_no_record_and_nan_is_unknown(
    client: mlflow.MlflowClient, tmp_path: Path
) -> None:
    run_id = client.create_run(client.create_experiment(tmp_path.name)).info.run_id
    client.log_metric(run_id, "loss", float("nan"))
    found = view_of_run(client.get_run(run_id), tmp_path).to_json()
    assert (set(found), found["record_id"], found["metrics"]) == (KEYS, None, {"loss": None})


def in_mlflow(record: Record, config: MLflowConfig, client: mlflow.MlflowClient) -> dict[str, Any]:
    """A run that MLflow takes to be running, as shown beside its record."""
    return view_of_run(client.get_run(begin(record, config)), record.folder.parent).to_json()


def test_a_run_whose_process_was_killed_is_shown_as_interrupted_with_how_to_resume_it(
    config: MLflowConfig, client: mlflow.MlflowClient, tmp_path: Path
) -> None:
    record = make_record(tmp_path, config="c.yaml")
    found = in_mlflow(record, config, client)
    assert (found["status"], found["tags"]["status"]) == ("RUNNING", "interrupted")
    assert found["resume"] == f"dspytrack optimize c.yaml --resume --run {record.run_id}"
    assert "unsent" not in found


def test_a_run_that_ended_without_mlflow_hearing_of_it_says_how_to_send_it(
    config: MLflowConfig, client: mlflow.MlflowClient, tmp_path: Path
) -> None:
    record = make_record(tmp_path)
    write_result(record, verdict="better")
    found = in_mlflow(record, config, client)
    assert (found["status"], found["tags"]["status"]) == ("RUNNING", "completed")
    assert found["unsent"] == "dspytrack runs sync" and "resume" not in found


def test_a_run_that_is_at_work_and_one_of_another_machine_are_shown_as_mlflow_has_them(
    config: MLflowConfig, client: mlflow.MlflowClient, tmp_path: Path
) -> None:
    record = make_record(tmp_path)
    run = client.get_run(begin(record, config))
    with record.locked():
        assert set(view_of_run(run, tmp_path).to_json()) == KEYS
    assert set(view_of_run(run, tmp_path / "elsewhere").to_json()) == KEYS
    (record.folder / "result.json").write_text("{")
    assert view_of_run(run, tmp_path).state == "running"


def test_a_run_is_shown_by_either_id_as_mlflow_has_it_also_without_its_record(
    config: MLflowConfig, tmp_path: Path
) -> None:
    record = make_record(tmp_path)
    write_result(record, verdict="better")
    run_id = publish(record, config)
    for runs_dir in (tmp_path, tmp_path / "elsewhere"):
        tracker = tracker_of(config, runs_dir)
        assert view_of(tracker, run_id) == view_of(tracker, record.run_id)
        assert view_of(tracker, run_id).tags[RUN_TAG] == record.run_id
    with pytest.raises(UsageError, match="nothing"):
        view_of(tracker, "nothing")
    with pytest.raises(NotFoundError):
        view_of(tracker, "best")


def test_a_run_that_mlflow_lost_or_does_not_know_yet_is_shown_from_its_record(
    config: MLflowConfig, client: mlflow.MlflowClient, tmp_path: Path
) -> None:
    record = make_record(tmp_path, "completed")
    tracker = tracker_of(config, tmp_path)
    assert view_of(tracker, record.run_id).run_id == record.run_id
    record.start_tracking(tracking_uri=config.shown, mlflow_run_id="0" * 32)
    assert view_of(tracker, record.run_id).record == str(record.folder)
    nowhere = MLflowConfig(tracking_uri="http://127.0.0.1:9")
    record.start_tracking(tracking_uri=nowhere.shown, mlflow_run_id="0" * 32)
    assert view_of(tracker_of(nowhere, tmp_path), "0" * 32).record == str(record.folder)
    with pytest.raises(UnreachableError):
        view_of(tracker_of(nowhere, tmp_path), "1" * 32)
