"""The calls that a plan expects are those that a search really makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dspytrack.pipeline import OptimizationPipeline
from dspytrack.runs.estimate import estimate
from dspytrack.runs.plan import make_plan
from tests.support.lm_server import lm_server
from tests.support.requests import request, rows


@pytest.mark.integration
@pytest.mark.parametrize(
    "optimizer",
    [
        {"name": "bootstrap_random_search", "params": {"num_candidate_programs": 3, "max_bootstrapped_demos": 2}},
        {"name": "miprov2", "params": {"auto": "light"}},
        {"name": "miprov2", "params": {"num_candidates": 3, "num_trials": 4}},
        {"name": "gepa", "params": {"max_metric_calls": 60}},
        {"name": "copro", "params": {"breadth": 3, "depth": 2}},
        {"name": "simba", "params": {"bsize": 8, "max_steps": 2, "num_candidates": 3}},
    ],
    ids=lambda one: "-".join([one["name"], *one["params"]]),
)
def test_a_search_makes_no_more_calls_than_the_plan_says(
    optimizer: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-for-loopback")
    with lm_server() as server:
        asked = request(server.api_base, tmp_path, optimizer=optimizer)
        plan = make_plan(asked, rows(60))
        [prepared] = plan.optimizers
        expected = prepared.row.estimate(plan.sizes, prepared.arguments)
        pipeline = OptimizationPipeline(enable_tracking=False, runs_dir=tmp_path / "runs")
        result = pipeline.run(asked, training_data=rows(60))
    assert result.status == "completed", result.error
    assert expected is not None
    searched = sum(use.calls + use.cached_calls for use in result.usage.values()) - 48
    assert 0 < searched <= expected[1], (searched, expected)


@pytest.mark.integration
@pytest.mark.parametrize(("other", "billed"), [(4, 40), (2, 48)])
def test_a_plan_of_several_optimizers_counts_the_scoring_of_what_each_ends_with(
    other: int, billed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-for-loopback")
    both = [{"name": "labeled_few_shot", "params": {"k": k}} for k in (4, other)]
    with lm_server() as server:
        asked = request(server.api_base, tmp_path, optimizer=both)
        phases = estimate(make_plan(asked, rows(40)))
        OptimizationPipeline(enable_tracking=False, runs_dir=tmp_path / "runs").run(asked, training_data=rows(40))
    assert [one.lm_calls for one in phases] == [(16, 16), (0, 8), (0, 8), (16, 16)]
    assert server.billed == billed  # what the first has asked is not asked again
