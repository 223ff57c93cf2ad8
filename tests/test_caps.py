"""Caps on money, calls, tokens and time: they hold, what was found is tested, and a resumed run goes on counting."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from dspytrack.pipeline import OptimizationPipeline
from tests.faults import start, write_config
from tests.lm_server import lm_server
from tests.runs import request, rows

pytestmark = pytest.mark.integration
LONG = {"name": "bootstrap_random_search", "params": {"num_candidate_programs": 40, "max_bootstrapped_demos": 1}}
THREADS = 4


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-for-loopback")


def spent(metrics: dict[str, float], cap: str) -> float:
    """What a run used of what a cap is on."""
    tokens = sum(value for name, value in metrics.items() if name.endswith("_tokens"))
    return {
        "max_lm_calls": metrics["total_lm_calls"],
        "max_cost_usd": metrics["total_cost_usd"],
        "max_tokens": tokens,
        "max_optimization_time": metrics["duration_seconds"],
    }[cap]


@pytest.mark.parametrize(
    ("cap", "limit", "one_call"),
    [("max_lm_calls", 150, 1), ("max_cost_usd", 0.008, 0.0001), ("max_tokens", 30_000, 600)],
)
def test_a_cap_holds_and_the_best_so_far_is_tested(cap: str, limit: float, one_call: float, tmp_path: Path) -> None:
    with lm_server(delay=0.01) as server:
        pipeline = OptimizationPipeline(enable_tracking=False, runs_dir=tmp_path / "runs")
        asked = request(server.api_base, tmp_path, optimizer=LONG, constraints={cap: limit})
        result = pipeline.run(asked, training_data=rows(60))
    assert result.status == "budget_reached"
    assert f"{cap} {limit:g} reached" in result.reason
    assert spent(result.metrics(), cap) <= limit + THREADS * one_call
    assert result.comparison is not None and result.comparison.examples == 24
    assert result.comparison.optimized.success_rate == 1.0  # not the baseline: a candidate
    assert result.usage["task"].calls + result.usage["teacher"].calls == server.billed


def test_a_cap_on_time_leaves_time_for_the_final_evaluation(tmp_path: Path) -> None:
    with lm_server(delay=0.1) as server:
        pipeline = OptimizationPipeline(enable_tracking=False, runs_dir=tmp_path / "runs")
        asked = request(server.api_base, tmp_path, optimizer=LONG, constraints={"max_optimization_time": 8})
        began = time.monotonic()
        result = pipeline.run(asked, training_data=rows(60))
    assert result.status == "budget_reached"
    assert "max_optimization_time 8 reached" in result.reason
    assert result.comparison is not None and result.comparison.examples == 24
    assert time.monotonic() - began < 20


def test_a_resumed_run_goes_on_counting_and_the_exit_code_says_so(tmp_path: Path) -> None:
    with lm_server(delay=0.05) as server:
        config = write_config(tmp_path, server, "bootstrap_random_search", constraints={"max_lm_calls": 70})
        process = start(config)
        while server.billed < 40:
            time.sleep(0.01)
        process.kill()
        process.communicate()
        resumed = start(config, "--resume")
        out, err = resumed.communicate(timeout=120)
    assert resumed.returncode == 5, err
    assert json.loads(out)["total_lm_calls"] <= 70
    assert server.billed <= 70 + THREADS
