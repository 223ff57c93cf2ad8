"""Runs found in a store: searched, ranked, and one by either of its ids."""

from __future__ import annotations

import asyncio
from pathlib import Path

import dspy
import mlflow
import pytest

from dspytrack.errors import NotFoundError, UnreachableError, UsageError
from dspytrack.tracking import MLflowConfig, MLflowTracker
from dspytrack.tracking.export import publish
from tests.support.records import make_record


class Runs:
    """Makes runs in an experiment as dspytrack logs them."""

    def __init__(self, client: mlflow.MlflowClient, config: MLflowConfig) -> None:
        self._client = client
        self._experiment = client.create_experiment(config.experiment_name)

    def make(self, gain: float | None, verdict: str | None, status: str = "FINISHED", p: float = 0.01) -> str:
        """A run that has ended; the id."""
        run_id = str(self._client.create_run(self._experiment).info.run_id)
        self._client.log_metric(run_id, "iterations", 3)
        if gain is not None:
            self._client.log_metric(run_id, "improvement_percentage", gain)
            self._client.log_metric(run_id, "statistical_significance", p)
        if verdict is not None:
            self._client.set_tag(run_id, "verdict", verdict)
        self._client.set_terminated(run_id, status)
        return run_id


@pytest.fixture
def runs(client: mlflow.MlflowClient, config: MLflowConfig) -> Runs:
    """The runs of the test's experiment."""
    return Runs(client, config)


def test_runs_are_listed_newest_first_or_as_ordered_and_no_more_than_asked_for(
    runs: Runs, config: MLflowConfig
) -> None:
    made = [runs.make(gain, "better") for gain in (0.3, 0.1, 0.2)]
    tracker = MLflowTracker(config)
    assert [run.info.run_id for run in tracker.search()] == made[::-1]
    ordered = tracker.search("metrics.iterations > 2", 2, ["metrics.improvement_percentage DESC"])
    assert [run.info.run_id for run in ordered] == [made[0], made[2]]
    assert [run.info.run_id for run in asyncio.run(tracker.search_runs(max_results=1))] == made[-1:]


def test_an_experiment_that_does_not_exist_has_no_runs_and_is_named_with_the_nearest(
    config: MLflowConfig, runs: Runs
) -> None:
    other = MLflowTracker(config.model_copy(update={"experiment_name": f"{config.experiment_name}x"}))
    assert other.search() == []
    with pytest.raises(UsageError, match=f"Did you mean `{config.experiment_name}`"):
        other.check_experiment()
    with pytest.raises(UsageError, match="Known are "):
        MLflowTracker(config.model_copy(update={"experiment_name": "#" * 40})).check_experiment()
    MLflowTracker(config).check_experiment()


def test_a_metric_that_no_run_has_is_named_with_the_nearest(runs: Runs, config: MLflowConfig) -> None:
    runs.make(0.5, "better")
    tracker = MLflowTracker(config)
    for look in (
        lambda: tracker.search("metrics.improvement_percentag > 1"),
        lambda: tracker.search("", 10, ["metrics.`improvement_percentag` DESC"]),
        lambda: tracker.best("improvement_percentag"),
    ):
        with pytest.raises(UsageError, match="Did you mean `improvement_percentage`"):
            look()
    with pytest.raises(UsageError, match="MLflow rejects it"):
        tracker.search("what is this")


def test_the_best_run_is_that_of_the_metrics_better_direction_or_the_one_asked_for(
    runs: Runs, config: MLflowConfig
) -> None:
    low, high = runs.make(0.2, "better", p=0.001), runs.make(0.7, "better", p=0.04)
    tracker = MLflowTracker(config)
    assert tracker.best().info.run_id == high
    assert tracker.best(order="asc").info.run_id == low
    assert tracker.best("statistical_significance").info.run_id == low
    assert tracker.best(filter_string="metrics.improvement_percentage < 0.5").info.run_id == low
    assert asyncio.run(tracker.get_best_run("improvement_percentage", "ASC")).info.run_id == low
    assert tracker.get("best").info.run_id == high
    with pytest.raises(NotFoundError, match=r"^no finished run has improvement_percentage, in the experiment "):
        tracker.best(filter_string="metrics.improvement_percentage > 50")


def test_a_run_that_failed_is_unfinished_or_has_no_number_is_never_the_best(
    runs: Runs, config: MLflowConfig, client: mlflow.MlflowClient
) -> None:
    runs.make(None, None)
    runs.make(float("nan"), "better")
    for status in ("FAILED", "KILLED", "RUNNING"):
        runs.make(0.9, "better", status)
    interrupted = runs.make(0.9, "better")
    client.set_tag(interrupted, "status", "interrupted")
    with pytest.raises(NotFoundError):
        MLflowTracker(config).best()
    client.set_tag(interrupted, "status", "budget_reached")
    assert MLflowTracker(config).best().info.run_id == interrupted


def test_where_only_failed_runs_are_there_a_metric_of_ours_is_no_mistake(runs: Runs, config: MLflowConfig) -> None:
    runs.make(None, None, "FAILED")
    assert MLflowTracker(config).search("metrics.improvement_percentage > 0.1") == []


def test_with_significant_only_a_run_found_better_is_the_best(runs: Runs, config: MLflowConfig) -> None:
    tracker = MLflowTracker(config)
    for gain, verdict in ((0.9, "inconclusive"), (-0.9, "worse"), (0.7, "no difference shown")):
        runs.make(gain, verdict)
    runs.make(0.8, "better", p=0.05)
    with pytest.raises(NotFoundError, match=r"is significantly better, in "):
        tracker.best(significant=True)
    found = runs.make(0.2, "better")
    assert tracker.get("best", significant=True).info.run_id == found
    assert tracker.best().data.tags["verdict"] == "inconclusive"
    with pytest.raises(UsageError, match="--significant goes with `best`"):
        tracker.get(found, significant=True)


@pytest.mark.parametrize("here", [True, False])
def test_a_run_is_got_its_model_logged_loaded_and_pulled_by_either_id(
    here: bool, config: MLflowConfig, tmp_path: Path
) -> None:
    record = make_record(tmp_path, "completed")
    run_id = publish(record, config)
    tracker = MLflowTracker(config, runs_dir=tmp_path if here else tmp_path / "elsewhere")
    program = dspy.Predict("text -> label")
    asyncio.run(tracker.log_model_artifact(program, run_id=record.run_id))
    for one in (run_id, record.run_id):
        assert tracker.get(one).info.run_id == run_id
        assert asyncio.run(tracker.load_model_artifact(one)).dump_state() == program.dump_state()
        assert tracker.pull(one, tmp_path / f"model-{one}").run_id == run_id


def test_an_id_that_no_run_has_is_a_mistake_and_a_store_that_does_not_exist_is_out_of_reach(
    config: MLflowConfig, tmp_path: Path
) -> None:
    for unknown in ("0" * 32, "20260101-000000-abcdef", "nothing"):
        with pytest.raises(UsageError, match=unknown):
            MLflowTracker(config, runs_dir=tmp_path).get(unknown)
    with pytest.raises(UnreachableError, match="no such file"):
        MLflowTracker(MLflowConfig(tracking_uri=f"sqlite:///{tmp_path}/none.db")).search()
