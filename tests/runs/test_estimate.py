"""What a plan says that a run will take, phase by phase."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dspytrack.pipeline import OptimizationPipeline
from dspytrack.runs.estimate import Probe, estimate, run_probe
from dspytrack.runs.plan import Plan, make_plan
from tests.support.lm_server import lm_server
from tests.support.requests import request, rows

UNUSED = "http://127.0.0.1:9/v1"
PROBE = Probe(examples=2, lm_calls=3.0, tokens=100.0, cost_usd=0.5, seconds=2.0, billed=6)


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-for-loopback")


def plan_of(folder: Path, api_base: str = UNUSED, **changes: Any) -> Plan:
    """A plan of 40 examples: 16 in train, 8 in val, 16 in test; 4 threads."""
    return make_plan(request(api_base, folder, **changes), rows(40))


COPRO = {"name": "copro", "params": {"breadth": 3, "depth": 2}}  # 3 * 2 * 16 program calls; 2 to 5 proposals


def test_a_program_call_is_one_lm_call_a_predictor_and_an_optimizers_own_calls_are_added(tmp_path: Path) -> None:
    baseline, search, optimized = estimate(plan_of(tmp_path, optimizer=COPRO, evaluation={"repeats": 2}))
    assert (baseline.phase, search.phase, optimized.phase) == ("baseline", "optimization: copro", "optimized")
    assert baseline.lm_calls == optimized.lm_calls == (32, 32)
    assert search.lm_calls == (96 + 2, 96 + 5)
    assert search.tokens is search.cost_usd is search.seconds is None


def test_a_judge_is_one_more_lm_call_for_each_program_call_and_none_for_a_proposal(tmp_path: Path) -> None:
    metric = {"name": "llm_judge", "rubric": "Is it right?", "lm": {"model": "openai/gpt-4o-mini"}}
    plan = plan_of(tmp_path, optimizer=COPRO, metric=metric)
    assert [one.lm_calls for one in estimate(plan)] == [(32, 32), (192 + 2, 192 + 5), (32, 32)]


def test_with_a_probe_the_rest_follows_and_time_is_least_where_every_thread_works(tmp_path: Path) -> None:
    baseline, search, _ = estimate(plan_of(tmp_path, optimizer=COPRO), PROBE)
    assert search.lm_calls == (96 * 3 + 2, 96 * 3 + 5)
    assert search.tokens == (9600, 9600)
    assert search.cost_usd == (48, 48)
    assert search.seconds == (96 * 2 / 4, 96 * 2)
    assert baseline.seconds == (8, 32)


def test_what_a_probe_did_not_find_out_stays_unknown(tmp_path: Path) -> None:
    [baseline, *_] = estimate(plan_of(tmp_path), replace(PROBE, tokens=None, cost_usd=None))
    assert (baseline.lm_calls, baseline.tokens, baseline.cost_usd) == ((48, 48), None, None)


def test_a_search_whose_calls_cannot_be_known_is_a_phase_without_figures(tmp_path: Path) -> None:
    optimizer = {"name": "gepa", "params": {"gepa_kwargs": {"cache_evaluation": True}}}
    _, unknown, known, _ = estimate(plan_of(tmp_path, optimizer=[optimizer, COPRO]), PROBE)
    assert (unknown.lm_calls, unknown.tokens, unknown.cost_usd, unknown.seconds) == (None, None, None, None)
    assert known.lm_calls == (96 * 3 + 2, (96 + 8) * 3 + 5)  # where optimizers compete, each result is scored on val


def test_a_probe_is_the_mean_of_the_examples_that_it_runs(tmp_path: Path) -> None:
    with lm_server() as server:
        probe = run_probe(plan_of(tmp_path, server.api_base), 3)
        assert server.billed == 3
    assert (probe.examples, probe.lm_calls, probe.billed) == (3, 1.0, 3)
    assert probe.tokens is not None and probe.cost_usd is not None
    assert 0 < probe.cost_usd < probe.seconds < 60 < probe.tokens


@pytest.mark.integration
@pytest.mark.parametrize(("other", "billed"), [(4, 40), (2, 48)])
def test_a_plan_of_several_optimizers_counts_the_scoring_of_what_each_ends_with(
    other: int, billed: int, tmp_path: Path
) -> None:
    both = [{"name": "labeled_few_shot", "params": {"k": k}} for k in (4, other)]
    with lm_server() as server:
        asked = request(server.api_base, tmp_path, optimizer=both)
        phases = estimate(make_plan(asked, rows(40)))
        OptimizationPipeline(enable_tracking=False, runs_dir=tmp_path / "runs").run(asked, training_data=rows(40))
    assert [one.lm_calls for one in phases] == [(16, 16), (0, 8), (0, 8), (16, 16)]
    assert server.billed == billed  # the second program, where it equals the first, is scored from the run's cache
