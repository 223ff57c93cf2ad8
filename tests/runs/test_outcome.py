"""A run's result from what was measured, or from what ended it before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dspytrack.errors import RunStop
from dspytrack.record.store import Record
from dspytrack.results.values import Candidate, Comparison, OptimizationResult, PerformanceMetrics, Status
from dspytrack.runs.outcome import Measured, result_of
from dspytrack.runs.plan import make_plan
from dspytrack.runs.search import Found
from tests.results.full import full_result
from tests.support.requests import request, rows

CAP = RunStop("budget", "max_lm_calls 9 reached (used 9)")


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-for-loopback")


def comparison(**values: Any) -> Comparison:
    """A comparison in which every number is 1."""
    found = full_result().comparison
    assert found is not None
    return found.model_copy(update={"reason": "p = 0.01"} | values)


def result(
    folder: Path,
    compared: Comparison | None = None,
    stopped: RunStop | None = None,
    ended_by: RunStop | Exception | None = None,
    **keys: Any,
) -> OptimizationResult:
    """The result of a run of which two candidates were scored, one of them twice."""
    plan, record = make_plan(request("http://127.0.0.1:9/v1", folder, **keys), rows(20)), Record.create(folder / "runs")
    for step in (1, 2, 2):
        one = Candidate(step=step, optimizer="gepa", score=0.5, examples=4, whole=True)
        record.append("candidates.jsonl", one)
    found = None if compared is None else Measured(Found(plan.program, "gepa"), compared, ["Shorter."], stopped)
    return result_of(plan, record, found, ended_by)


@pytest.mark.parametrize(
    ("objective", "reached"),
    [
        ({"metric": "quality_score", "target_value": 0.9}, {"quality_score": True}),
        ({"metric": "quality_score", "target_value": 0.8}, {"quality_score": True}),
        ({"metric": "quality_score", "target_value": 0.91}, {"quality_score": False}),
        ({"metric": "avg_cost", "target_value": 0.02}, {"avg_cost": True}),
        ({"metric": "avg_cost", "target_value": 0.03}, {"avg_cost": True}),
        ({"metric": "avg_cost", "target_value": 0.01}, {"avg_cost": False}),
        ({"metric": "avg_latency_ms", "target_value": 100}, {}),
        ({"metric": "quality_score"}, {}),
    ],
)
def test_a_target_is_reached_where_the_optimized_program_is_as_good_or_better(
    objective: dict[str, Any], reached: dict[str, bool], tmp_path: Path
) -> None:
    optimized = PerformanceMetrics(success_rate=0.9, quality_score=0.9, avg_cost=0.02, avg_latency_ms=None)
    assert result(tmp_path, comparison(optimized=optimized), objectives=[objective]).target_reached == reached


@pytest.mark.parametrize(("improvement", "met"), [(0.05, True), (0.06, True), (0.04, False), (None, None)])
def test_the_threshold_is_met_where_the_improvement_is_as_much_or_more(
    improvement: float | None, met: bool | None, tmp_path: Path
) -> None:
    found = result(
        tmp_path,
        comparison(improvement_percentage=improvement),
        constraints={"min_improvement_threshold": 0.05},
    )
    assert found.threshold_met is met


def test_a_run_that_measured_both_programs_has_completed(tmp_path: Path) -> None:
    found = result(tmp_path, comparison())
    assert (found.status, found.verdict, found.reason, found.error) == ("completed", "better", "p = 0.01", None)
    assert (found.optimizer, found.iterations, found.key_improvements) == ("gepa", 2, ["Shorter."])
    assert (found.unknown, found.unreachable) == ({}, False)


def test_a_cap_that_left_time_for_the_comparison_is_named_before_its_reason(tmp_path: Path) -> None:
    found = result(tmp_path, comparison(), stopped=CAP)
    assert (found.status, found.verdict, found.error) == ("budget_reached", "better", None)
    assert found.reason == "max_lm_calls 9 reached (used 9); p = 0.01"


@pytest.mark.parametrize(
    ("reason", "status"),
    [("budget", "budget_reached"), ("interrupted", "interrupted"), ("unreachable", "failed"), ("unusable", "failed")],
)
def test_a_run_that_was_stopped_before_its_comparison_says_why(reason: str, status: Status, tmp_path: Path) -> None:
    found = result(tmp_path, ended_by=RunStop(reason, "why"))
    assert (found.status, found.reason, found.error, found.verdict) == (status, "why", "why", None)
    assert found.unreachable == (reason == "unreachable")
    assert (found.comparison, found.optimizer, found.threshold_met, found.target_reached) == (None, None, None, {})


def test_an_error_of_the_program_is_a_failure_with_its_name(tmp_path: Path) -> None:
    found = result(tmp_path, ended_by=KeyError("team"))
    assert (found.status, found.error, found.reason) == ("failed", "KeyError: 'team'", "")
    after = result(tmp_path, comparison(), ended_by=OSError("no space"))
    assert (after.status, after.error, after.reason) == ("failed", "OSError: no space", "p = 0.01")


def test_a_figure_that_is_unknown_says_why(tmp_path: Path) -> None:
    timed = PerformanceMetrics(success_rate=1, quality_score=1)
    found = result(tmp_path, comparison(baseline=PerformanceMetrics(), optimized=timed))
    assert found.unknown == dict.fromkeys(
        [f"baseline_{name}" for name in PerformanceMetrics.model_fields], "no example was scored on both sides"
    ) | {
        "optimized_avg_cost": "the price of the LM is not known; give lm.price",
        "optimized_avg_latency_ms": "a call of an earlier attempt was not timed",
    }
