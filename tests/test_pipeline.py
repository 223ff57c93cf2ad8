"""Whole runs against the LM server."""

from pathlib import Path

import pytest

from dspytrack.pipeline import OptimizationPipeline
from dspytrack.runs.events import Event, Note
from tests.support.lm_server import lm_server
from tests.support.requests import request, rows

OPTIMIZERS = {
    "labeled_few_shot": {"k": 4},
    "bootstrap_few_shot": {"max_bootstrapped_demos": 2, "max_labeled_demos": 4},
    "bootstrap_random_search": {"num_candidate_programs": 3, "max_bootstrapped_demos": 1, "max_labeled_demos": 4},
    "copro": {"breadth": 2, "depth": 1},
    "miprov2": {"num_candidates": 2, "num_trials": 2, "max_bootstrapped_demos": 1, "max_labeled_demos": 2},
    "gepa": {"max_metric_calls": 40},
    "simba": {"bsize": 8, "max_steps": 1, "num_candidates": 2, "max_demos": 2},
}


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-for-loopback")


@pytest.mark.integration
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_runs_end_to_end_with_one_metric(name: str, tmp_path: Path) -> None:
    with lm_server() as server:
        pipeline = OptimizationPipeline(enable_tracking=False, runs_dir=tmp_path / "runs")
        optimizer = {"name": name, "params": OPTIMIZERS[name]}
        result = pipeline.run(request(server.api_base, tmp_path, optimizer=optimizer), training_data=rows(60))
        assert result.status == "completed", result.error
        assert result.comparison is not None
        assert result.comparison.baseline.success_rate == 0.5
        assert result.metrics()["total_lm_calls"] == server.billed
        assert (Path(result.record) / "artifacts/models/optimized_model.json").is_file()


def test_demos_make_this_task_better_and_the_verdict_says_so(tmp_path: Path) -> None:
    with lm_server() as server:
        pipeline = OptimizationPipeline(enable_tracking=False, runs_dir=tmp_path / "runs")
        result = pipeline.run(request(server.api_base, tmp_path), training_data=rows(60))
    assert result.verdict == "better"
    comparison = result.comparison
    assert comparison is not None and comparison.optimized.success_rate == 1.0
    assert comparison.improvement_percentage == pytest.approx(1.0)
    assert comparison.p_value == pytest.approx(2 * 0.5**12)
    assert comparison.baseline.avg_cost is not None and comparison.baseline.avg_cost > 0


def test_ten_inputs_written_ten_times_are_no_more_evidence_than_ten(tmp_path: Path) -> None:
    with lm_server() as server:
        pipeline = OptimizationPipeline(enable_tracking=False, runs_dir=tmp_path / "runs")
        result = pipeline.run(request(server.api_base, tmp_path), training_data=rows(10) * 10)
    assert result.comparison is not None and result.comparison.examples == 40
    assert result.verdict == "inconclusive"
    assert "4 distinct inputs (40 examples)" in result.reason


def test_a_stated_baseline_that_differs_from_the_measured_one_is_warned_of_and_not_used(tmp_path: Path) -> None:
    events: list[Event] = []
    with lm_server() as server:
        pipeline = OptimizationPipeline(enable_tracking=False, runs_dir=tmp_path / "runs", listener=events.append)
        stated = {"success_rate": 0.9, "quality_score": 0.502, "avg_cost": 1.0}
        result = pipeline.run(request(server.api_base, tmp_path), stated, rows(60))
    assert result.comparison is not None and result.comparison.baseline.success_rate == 0.5
    notes = [event.message for event in events if isinstance(event, Note)]
    assert "baseline success_rate: stated 0.9, measured 0.5; the measured one is used" in notes
    assert [note.split(":")[0] for note in notes] == ["baseline success_rate", "baseline avg_cost"]


def test_a_failed_call_is_missing_data_not_a_zero(tmp_path: Path) -> None:
    with lm_server() as server:
        server.faults = [400, 400]
        pipeline = OptimizationPipeline(enable_tracking=False, runs_dir=tmp_path / "runs")
        result = pipeline.run(request(server.api_base, tmp_path), training_data=rows(60))
    comparison = result.comparison
    assert comparison is not None
    assert (comparison.failed_baseline, comparison.left_out, comparison.examples) == (2, 2, 22)


def test_a_call_cap_ends_the_search_and_the_best_so_far_is_tested(tmp_path: Path) -> None:
    optimizer = {"name": "bootstrap_random_search", "params": {"max_bootstrapped_demos": 1, "max_labeled_demos": 4}}
    with lm_server() as server:
        pipeline = OptimizationPipeline(enable_tracking=False, runs_dir=tmp_path / "runs")
        asked = request(server.api_base, tmp_path, optimizer=optimizer, constraints={"max_lm_calls": 90})
        result = pipeline.run(asked, training_data=rows(60))
    assert result.status == "budget_reached"
    assert server.billed <= 90
    assert result.comparison is not None and result.comparison.examples == 24


def test_an_error_in_a_search_says_what_is_kept_and_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("an optimizer's own fault")

    events: list[Event] = []
    monkeypatch.setattr("dspytrack.optimizers.protocol.Optimizer.search", broken)
    with lm_server() as server, pytest.raises(ValueError, match="own fault"):
        pipeline = OptimizationPipeline(enable_tracking=False, runs_dir=tmp_path / "runs", listener=events.append)
        pipeline.run(request(server.api_base, tmp_path), training_data=rows(60))
    [record] = (tmp_path / "runs").iterdir()
    [note] = [event.message for event in events if isinstance(event, Note)]
    assert note.startswith("24 LM calls, $0.00")
    assert str(record) in note and f"--resume --run {record.name}" in note
