"""Caps on money, calls, tokens and time: they hold, what was found is tested, and a resumed run goes on counting."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dspytrack.errors import ConfigError
from dspytrack.pipeline import OptimizationPipeline
from dspytrack.record.store import Record
from tests.support.killed_runs import ended, start, wait_for, write_config
from tests.support.lm_server import classify, formed, lm_server
from tests.support.requests import request, rows

pytestmark = pytest.mark.integration
LONG = {"name": "bootstrap_random_search", "params": {"num_candidate_programs": 40, "max_bootstrapped_demos": 1}}
THREADS = 4


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-for-loopback")


@pytest.fixture(autouse=True, scope="module")
def _warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A run that makes this process import what runs need: a cap on time is no cap on imports."""
    with pytest.MonkeyPatch.context() as patch, lm_server() as server:
        patch.setenv("OPENAI_API_KEY", "a-key-for-loopback")
        folder = tmp_path_factory.mktemp("warm")
        asked = request(server.api_base, folder)
        OptimizationPipeline(enable_tracking=False, runs_dir=folder).run(asked, training_data=rows(60))
    yield


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
    with lm_server(delay=0.2) as server:
        pipeline = OptimizationPipeline(enable_tracking=False, runs_dir=tmp_path / "runs")
        asked = request(server.api_base, tmp_path, optimizer=LONG, constraints={"max_optimization_time": 8})
        result = pipeline.run(asked, training_data=rows(60))
    assert result.status == "budget_reached"
    assert "max_optimization_time 8 reached" in result.reason
    assert result.comparison is not None and result.comparison.examples == 24
    assert result.duration_seconds < 16  # the whole search would take more than 24


@pytest.mark.parametrize("phase", ["optimization", "optimized"])
def test_a_cap_on_time_waits_for_no_call_that_hangs(phase: str, tmp_path: Path) -> None:
    hangs_from = 40 if phase == "optimization" else 24 + 12
    optimizer = LONG if phase == "optimization" else {"name": "labeled_few_shot", "params": {"k": 2}}
    with lm_server(delay=0.02) as server:
        server.faults = ["none"] * hangs_from + ["hang"] * 8
        pipeline = OptimizationPipeline(enable_tracking=False, runs_dir=tmp_path / "runs")
        lm = {"model": "openai/gpt-4o-mini", "api_base": server.api_base, "timeout": 60}
        changes = {"lm": lm, "optimizer": optimizer, "constraints": {"max_optimization_time": 6}}
        result = pipeline.run(request(server.api_base, tmp_path, **changes), training_data=rows(60))
        rows_kept = Record(Path(result.record)).rows("optimized")
    assert result.status == "budget_reached"
    assert "max_optimization_time 6 reached" in result.reason
    assert result.duration_seconds < 20  # the server hangs for good, and the LM waits for 60
    assert result.comparison is not None
    assert result.comparison.examples == len(rows_kept)


def test_a_resumed_run_goes_on_counting_and_the_exit_code_says_so(tmp_path: Path) -> None:
    with lm_server(delay=0.05) as server:
        config = write_config(tmp_path, server, "bootstrap_random_search", constraints={"max_lm_calls": 70})
        process = start(config)
        wait_for(process, server, 40)
        process.kill()
        ended(process)
        resumed = start(config, "--resume")
        out, err = ended(resumed)
        assert resumed.returncode == 5, err
        assert 40 <= json.loads(out)["total_lm_calls"] <= 70
        assert server.settled() <= 70 + THREADS


@pytest.mark.parametrize(("cap", "limit"), [("max_cost_usd", 0.0006), ("max_tokens", 2000), ("max_lm_calls", 48)])
def test_with_many_threads_a_cap_holds_as_with_one(cap: str, limit: float, tmp_path: Path) -> None:
    with lm_server(delay=0.05) as server:
        pipeline = OptimizationPipeline(enable_tracking=False, runs_dir=tmp_path / "runs")
        evaluation = {"num_threads": 24}
        asked = request(server.api_base, tmp_path, optimizer=LONG, constraints={cap: limit}, evaluation=evaluation)
        result = pipeline.run(asked, training_data=rows(60))
        usage = result.usage["task"]
        assert usage.calls == server.billed
    assert result.status == "budget_reached"
    assert f"{cap} {limit:g} reached" in f"{result.reason} {result.error}"
    assert usage.prompt_tokens is not None and usage.completion_tokens is not None and usage.cost_usd is not None
    used = {
        "max_lm_calls": usage.calls,
        "max_tokens": usage.prompt_tokens + usage.completion_tokens,
        "max_cost_usd": usage.cost_usd,
    }
    assert used[cap] <= limit


def test_tokens_that_are_not_told_are_unknown_and_end_a_run_that_caps_them(tmp_path: Path) -> None:
    with lm_server() as server:
        server.tells_usage = False
        pipeline = OptimizationPipeline(enable_tracking=False, runs_dir=tmp_path / "runs")
        free = pipeline.run(request(server.api_base, tmp_path), training_data=rows(60))
        assert free.status == "completed"
        assert free.usage["task"].prompt_tokens is None
        assert Record(Path(free.record)).rows("baseline")[0].prompt_tokens is None
        assert "baseline_avg_cost" in free.unknown
        before = server.billed
        capped = pipeline.run(request(server.api_base, tmp_path, constraints={"max_tokens": 500}), None, rows(60))
        assert server.billed - before <= THREADS
    assert capped.status == "budget_reached"
    assert "max_tokens cannot be kept" in str(capped.error)


def test_what_a_judge_takes_is_kept_for_the_final_evaluation_too(tmp_path: Path) -> None:
    def answer(body: dict[str, object]) -> str:
        message = str(body["messages"][-1]["content"])  # type: ignore[index]
        graded = "rubric" in message
        return formed({"score": "0.5", "feedback": "so so"} if graded else {"label": "positive"}, message)

    judged = {"name": "llm_judge", "rubric": "Is the mood right?", "lm": {"model": "openai/gpt-4o-mini"}}
    with lm_server(answer) as server:
        judged["lm"] = {"model": "openai/gpt-4o-mini", "api_base": server.api_base}
        pipeline = OptimizationPipeline(enable_tracking=False, runs_dir=tmp_path / "runs")
        with pytest.raises(ConfigError, match="give 96 or more"):
            pipeline.run(
                request(server.api_base, tmp_path, metric=judged, constraints={"max_lm_calls": 95}), None, rows(60)
            )
        assert server.billed == 0
        asked = request(server.api_base, tmp_path, metric=judged, optimizer=LONG, constraints={"max_lm_calls": 150})
        result = pipeline.run(asked, None, rows(60))
    assert result.status == "budget_reached"
    assert result.comparison is not None and result.comparison.examples == 24
    assert sum(one.calls for one in result.usage.values()) <= 150


def test_a_cap_met_by_a_later_optimizer_leaves_the_better_result_of_an_earlier_one(tmp_path: Path) -> None:
    with lm_server() as server:
        pipeline = OptimizationPipeline(enable_tracking=False, runs_dir=tmp_path / "runs")
        several = [{"name": "labeled_few_shot", "params": {"k": 4}}, LONG]
        asked = request(server.api_base, tmp_path, optimizer=several, constraints={"max_lm_calls": 66})
        result = pipeline.run(asked, None, rows(60))
    assert result.status == "budget_reached"
    assert result.optimizer == "labeled_few_shot"
    assert result.verdict == "better"


def test_each_of_several_answers_asked_for_at_once_is_a_call(tmp_path: Path) -> None:
    (tmp_path / "many.py").write_text(
        "import dspy\n\n\ndef program():\n    return dspy.Predict('text -> label', n=4, temperature=0.7)\n"
    )
    program = {"import": "many:program"}
    with lm_server() as server:
        pipeline = OptimizationPipeline(enable_tracking=False, runs_dir=tmp_path / "runs")
        free = pipeline.run(request(server.api_base, tmp_path, program=program), None, rows(30))
        assert free.usage["task"].calls == server.billed == 2 * 12 * 4
        before = server.billed
        asked = request(server.api_base, tmp_path, program=program, constraints={"max_lm_calls": 30})
        capped = pipeline.run(asked, None, rows(30))
        assert capped.usage["task"].calls == server.billed - before <= 30
    assert "max_lm_calls 30 reached" in str(capped.error)


def test_a_call_that_timed_out_is_told_and_counts_against_the_caps(tmp_path: Path) -> None:
    with lm_server(delay=1.2) as server:
        lm = {"model": "openai/gpt-4o-mini", "api_base": server.api_base, "timeout": 0.5, "num_retries": 3}
        pipeline = OptimizationPipeline(enable_tracking=False, runs_dir=tmp_path / "runs")
        evaluation = {"num_threads": 8, "max_consecutive_failures": 1000}
        asked = request(server.api_base, tmp_path, lm=lm, constraints={"max_lm_calls": 24}, evaluation=evaluation)
        result = pipeline.run(asked, None, rows(30))
        assert server.settled() <= 24
    assert result.usage["task"].timed_out_calls == server.billed > 0
    assert result.usage["task"].calls == 0


def test_a_longer_prompt_than_any_before_is_estimated_by_its_length(tmp_path: Path) -> None:
    data = rows(60)
    for number, row in enumerate(data):
        if number % 4 > 1:
            row["text"] += " something considerable" * 1000
    with lm_server(delay=0.05) as server:
        pipeline = OptimizationPipeline(enable_tracking=False, runs_dir=tmp_path / "runs")
        changes = {"constraints": {"max_tokens": 5_000}, "evaluation": {"num_threads": 8}}
        result = pipeline.run(request(server.api_base, tmp_path, **changes), training_data=data)
    used = result.usage["task"]
    assert used.prompt_tokens is not None and used.completion_tokens is not None
    assert used.prompt_tokens + used.completion_tokens <= 5_000
    assert result.status == "budget_reached"


def test_what_waits_for_a_cap_is_no_latency(tmp_path: Path) -> None:
    with lm_server(delay=1.0) as server:
        pipeline = OptimizationPipeline(enable_tracking=False, runs_dir=tmp_path / "runs")
        changes = {"constraints": {"max_tokens": 10**9}, "evaluation": {"num_threads": 8}}
        result = pipeline.run(request(server.api_base, tmp_path, **changes), training_data=rows(20))
    latencies = [row.latency_ms or 0.0 for row in Record(Path(result.record)).rows("baseline")]
    assert len(latencies) == 8
    assert max(latencies) < 2000 <= 2 * min(latencies)  # one call waits for the first, which takes one second


def test_one_slow_call_does_not_forbid_the_quick_ones_after_it(tmp_path: Path) -> None:
    def answer(body: dict[str, Any]) -> str:
        if len(server.requests) == 30:  # in the search
            time.sleep(4)
        return classify(body)

    with lm_server(answer, delay=0.02) as server:
        pipeline = OptimizationPipeline(enable_tracking=False, runs_dir=tmp_path / "runs")
        changes = {"optimizer": LONG, "constraints": {"max_optimization_time": 12}, "evaluation": {"num_threads": 1}}
        result = pipeline.run(request(server.api_base, tmp_path, **changes), training_data=rows(60))
    assert result.comparison is not None and result.comparison.examples == 24


def test_the_process_ends_with_its_run_though_a_call_hangs(tmp_path: Path) -> None:
    with lm_server(delay=0.02) as server:
        server.faults = ["none"] * 30 + ["hang"] * 4
        lm = {"model": "openai/gpt-4o-mini", "api_base": server.api_base, "timeout": 60}
        config = write_config(
            tmp_path, server, "bootstrap_random_search", constraints={"max_optimization_time": 8}, lm=lm
        )
        process = start(config)
        out, err = ended(process)
        assert server.held > 0
    assert process.returncode == 5, err
    assert json.loads(out)["status"] == "budget_reached"
    assert "4 LM calls were under way" in err
