"""Params, tags and metrics of a record, as MLflow gets them."""

from __future__ import annotations

import json
from pathlib import Path

from dspytrack.record.info import Attempt, RequestChange, RunInfo
from dspytrack.results.mlflow_names import LONGEST_TAG
from dspytrack.results.values import Candidate, OptimizationResult
from dspytrack.tracking.fields import Point, end_tags, params_of, points_of, result_tags, start_tags
from tests.results.full import full_result
from tests.support.records import make_record

RESULT = OptimizationResult(record_id="x", record="x", status="interrupted")


def info(attempts: int = 1, **fields: object) -> RunInfo:
    """A run.json after so many attempts."""
    last = Attempt(number=attempts, began_at=1.0, seconds_before=0.0)
    return RunInfo.model_validate({"run_name": "a run", "started_at": 1.0, "attempt": last} | fields)


def test_params_are_the_request_flat_and_the_optimizers_arguments_as_text(tmp_path: Path) -> None:
    record = make_record(tmp_path, params={"optimizer_args.x.k": 4, "stated_baseline_success_rate": 0.9})
    record.write("request.json", {"lm": {"model": "a", "price": None}, "optimizer": [{"name": "x"}], "ü": "y" * 7000})
    params = params_of(record)
    assert (params["lm.model"], params["lm.price"], params["optimizer.0.name"]) == ("a", "null", "x")
    assert (params["optimizer_args.x.k"], params["stated_baseline_success_rate"]) == ("4", "0.9")
    assert params["ü"] == "y" * 6000


def test_tags_at_the_start_are_cut_to_what_mlflow_takes_and_none_of_them_is_its_own() -> None:
    tags = start_tags(info(tags={"team": "x", "mlflow.runName": "mine", "long": "y" * 6000}))
    assert tags == {"team": "x", "_mlflow.runName": "mine", "long": "y" * LONGEST_TAG}


def test_tags_at_the_end_are_status_verdict_and_the_table_that_mlflow_shows() -> None:
    result = RESULT.model_copy(
        update={
            "status": "completed",
            "verdict": "better",
            "reason": "p = 0.01",
            "comparison": full_result().comparison,
            "unknown": {"baseline_avg_cost": "no price"},
            "threshold_met": False,
            "target_reached": {"quality_score": True},
        }
    )
    assert {name: value for name, value in end_tags(info(), result).items() if value is not None} == {
        "status": "completed",
        "verdict": "better",
        "verdict_reason": "p = 0.01",
        "unknown": '{"baseline_avg_cost": "no price"}',
        "min_improvement_threshold_met": "false",
        "target_reached": '{"quality_score": true}',
        "mlflow.loggedArtifacts": '[{"path": "evaluation.json", "type": "table"}]',
    }
    assert result_tags(RESULT.model_copy(update={"threshold_met": True}))["min_improvement_threshold_met"] == "true"


def test_a_run_without_a_comparison_has_no_table_and_no_verdict() -> None:
    tags = end_tags(info(), RESULT.model_copy(update={"error": "e" * 6000}))
    assert "mlflow.loggedArtifacts" not in tags
    assert (tags["verdict"], tags["error"]) == (None, "e" * LONGEST_TAG)


def test_a_changed_request_gives_and_takes_the_users_tags_from_the_second_attempt_on() -> None:
    keys: dict[str, dict[str, object]] = {"lm.timeout": {"was": 1, "is": 2}}
    keys |= {"tracking.tags.goes": {"was": "2", "is": None}, "tracking.tags.stays": {"was": "1", "is": "3"}}
    changes = [RequestChange(at=2.0, keys=keys)]
    resumed = end_tags(info(2, tags={"stays": "3"}, changes=changes), RESULT)
    assert (resumed["goes"], resumed["stays"], resumed["status"]) == (None, "3", "interrupted")
    [change] = json.loads(str(resumed["request_changes"]))
    assert change["keys"]["lm.timeout"] == {"was": 1, "is": 2}
    assert "request_changes" not in end_tags(info(2), RESULT)
    assert "goes" not in end_tags(info(1, changes=changes), RESULT)


def test_candidates_scored_on_all_examples_are_points_by_step_and_metrics_points_at_the_end() -> None:
    candidates = [
        Candidate(step=step, optimizer="x", score=score, examples=2, whole=whole)
        for step, score, whole in ((1, 0.5, True), (2, 0.9, False), (3, 0.75, True))
    ]
    result = RESULT.model_copy(update={"candidates": candidates, "iterations": 3, "duration_seconds": 2.0})
    assert points_of(info(), result, 9.0) == [
        Point("validation_score", 0.5, 1.0, 1),
        Point("validation_score", 0.75, 1.0, 3),
        Point("iterations", 3.0, 9.0, 0),
        Point("duration_seconds", 2.0, 9.0, 0),
    ]
