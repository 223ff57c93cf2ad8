"""Faults of the LM, played over HTTP: what passes is tried again, what stays is missing data, a dead LM ends it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dspytrack.errors import RunStop
from dspytrack.pipeline import OptimizationPipeline
from dspytrack.record.store import Record
from dspytrack.results.values import OptimizationResult
from dspytrack.runs.estimate import run_probe
from dspytrack.runs.plan import make_plan
from tests.support.lm_server import LMServer, classify, lm_server
from tests.support.ports import free_port
from tests.support.requests import request, rows

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-for-loopback")


def run(server: LMServer, folder: Path, lm: dict[str, Any] | None = None, **changes: Any) -> OptimizationResult:
    """A whole run with some of its request changed."""
    spec = {"model": "openai/gpt-4o-mini", "api_base": server.api_base, "num_retries": 0, "timeout": 10} | (lm or {})
    pipeline = OptimizationPipeline(enable_tracking=False, runs_dir=folder / "runs")
    return pipeline.run(request(server.api_base, folder, lm=spec, **changes), training_data=rows(60))


@pytest.mark.parametrize("fault", [429, 500, 503, "reset", "hang"])
def test_what_passes_is_tried_again_and_counted_apart(fault: int | str, tmp_path: Path) -> None:
    with lm_server() as server:
        server.faults = [fault, fault]
        result = run(server, tmp_path, {"num_retries": 3, "timeout": 4 if fault == "hang" else 10})
    assert (result.status, result.verdict) == ("completed", "better")
    assert result.usage["task"].retried_calls == 2
    assert result.usage["task"].failed_calls == 0
    assert result.comparison is not None and result.comparison.left_out == 0
    assert result.usage["task"].calls == server.billed


def test_the_provider_says_how_long_to_wait(tmp_path: Path) -> None:
    with lm_server() as server:
        server.faults, server.retry_after = [429], "3"
        result = run(server, tmp_path, {"num_retries": 1}, evaluation={"num_threads": 1})
    assert result.usage["task"].retried_calls == 1
    refused, again = server.asked_at[:2]
    assert again - refused >= 3


def test_an_answer_without_form_is_that_examples_missing_data(tmp_path: Path) -> None:
    with lm_server() as server:
        server.faults = ["garbage"] * 2  # the second is DSPy's own fall-back to its JSON form
        result = run(server, tmp_path, evaluation={"num_threads": 1})
    assert result.comparison is not None
    assert (result.comparison.failed_baseline, result.comparison.examples) == (1, 23)
    [failed] = [row for row in Record(Path(result.record)).rows("baseline") if row.error]
    assert failed.score is None
    assert "AdapterParseError" in str(failed.error)
    assert failed.failure == "program"


@pytest.mark.parametrize("code", [401, 403])
def test_a_refused_key_ends_the_run_at_once(code: int, tmp_path: Path) -> None:
    with lm_server() as server:
        server.faults = [code] * 100
        result = run(server, tmp_path, {"num_retries": 3})
        asked = 100 - len(server.faults)
    assert result.status == "failed"
    assert "refused" in result.reason
    assert asked <= 4  # those in flight
    assert Path(result.record, "result.json").is_file()


def test_a_provider_that_is_down_ends_the_run_after_so_many_failures(tmp_path: Path) -> None:
    with lm_server() as server:
        server.faults = [500] * 1000
        result = run(server, tmp_path, evaluation={"num_threads": 4, "max_consecutive_failures": 6})
        asked = 1000 - len(server.faults)
    assert result.status == "failed"
    assert "6 LM calls in a row failed" in result.reason
    assert asked <= 6 + 4


def test_too_many_failures_end_the_run_inconclusive_with_its_rows(tmp_path: Path) -> None:
    with lm_server() as server:
        server.faults = [500, 500, 500, 200] * 6
        server.faults = [fault if fault != 200 else "none" for fault in server.faults]
        result = run(server, tmp_path, evaluation={"num_threads": 1, "max_error_rate": 0.4})
        searched = server.billed
    assert (result.status, result.verdict) == ("completed", "inconclusive")
    assert "failed (max_error_rate is 40%)" in result.reason
    assert ", 18 of them with LMServerError, the first: LMServerError: " in result.reason
    assert result.comparison is not None and result.comparison.baseline.success_rate is not None
    assert not [name for name in result.unknown if name.startswith("baseline")]
    found = Record(Path(result.record)).rows("baseline")
    assert len(found) == 24
    assert {row.failure for row in found} == {None, "call"}
    assert sum(row.error is not None for row in found) == 18
    assert searched == 6  # nothing was spent on a search


def test_a_metric_that_raises_is_missing_data_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "moody.py").write_text(
        "def score(example, prediction):\n"
        "    if example.text.endswith('7.'):\n"
        "        raise ValueError('seven')\n"
        "    return float(example.label == prediction.label)\n"
    )
    with lm_server() as server:
        result = run(server, tmp_path, metric={"import": "moody:score"})
    comparison = result.comparison
    assert comparison is not None and comparison.failed_baseline == comparison.failed_optimized > 0
    failed = [row for row in Record(Path(result.record)).rows("optimized") if row.error]
    assert all("ValueError: seven" in str(row.error) and "moody.py:3 score" in str(row.error) for row in failed)
    assert {row.failure for row in failed} == {"metric"}


def test_a_run_of_which_nothing_was_scored_fails_with_the_error_and_goes_on_once_that_is_mended(tmp_path: Path) -> None:
    (tmp_path / "strict.py").write_text(
        "from pathlib import Path\n\ndef score(example, prediction):\n"
        "    if prediction.label == 'neither':\n"
        "        Path(__file__).with_name('table.txt').read_text()\n"
        "    return float(example.label == prediction.label)\n"
    )
    with lm_server(lambda body: classify(body).replace("positive", "neither")) as server:
        asked = request(server.api_base, tmp_path, metric={"import": "strict:score"})
        pipeline = OptimizationPipeline(enable_tracking=False, runs_dir=tmp_path / "runs")
        result = pipeline.run(asked, training_data=rows(60))
        assert (result.status, result.verdict, result.unreachable) == ("failed", None, False)
        said = "all 24 examples of the baseline failed, 24 of them with metric: FileNotFoundError, the first: metric: "
        assert result.reason.startswith(said)
        assert result.error == result.reason
        (tmp_path / "table.txt").write_text("now it is there")
        billed = server.billed
        result = pipeline.run(asked, training_data=rows(60), resume=result.run_id)
    assert result.status == "completed"
    assert server.billed == billed + 24  # what the baseline was billed is not paid again


def test_identical_requests_in_flight_are_asked_once(tmp_path: Path) -> None:
    params = {"bsize": 8, "max_steps": 1, "num_candidates": 2, "max_demos": 2}
    billed = []
    for threads, delay in ((1, 0.0), (8, 0.2)):  # one thread never has two requests in flight
        with lm_server(delay=delay) as server:
            optimizer = {"name": "simba", "params": params}
            result = run(server, tmp_path, optimizer=optimizer, evaluation={"num_threads": threads})
        assert result.status == "completed", result.error
        billed.append(server.billed)
    assert billed[0] == billed[1]


def test_a_key_refused_at_the_very_last_calls_is_no_completed_run(tmp_path: Path) -> None:
    with lm_server() as server:
        server.faults = [401] * 100
        result = run(server, tmp_path, evaluation={"num_threads": 64})
    assert (result.status, result.verdict) == ("failed", None)
    assert "refused" in result.reason


def test_a_failed_call_in_the_search_is_no_zero_in_a_validation_score(tmp_path: Path) -> None:
    optimizer = {"name": "bootstrap_random_search", "params": {"num_candidate_programs": 2}}
    with lm_server() as server:
        server.faults = ["none"] * 24 + [500, "none", "none"] * 200
        result = run(server, tmp_path, optimizer=optimizer, evaluation={"num_threads": 1})
    assert result.usage["task"].failed_calls > 0
    assert {candidate.score for candidate in result.candidates[1:]} == {1.0}  # demos: whatever came home was right


def test_a_dead_provider_is_no_completed_run_however_few_the_examples(tmp_path: Path) -> None:
    gone = f"http://127.0.0.1:{free_port()}/v1"
    pipeline = OptimizationPipeline(enable_tracking=False, runs_dir=tmp_path / "runs")
    result = pipeline.run(request(gone, tmp_path), training_data=rows(20))
    assert result.status == "failed"
    assert "no LM call of the baseline was answered" in str(result.error)


def test_a_probe_of_a_dead_provider_estimates_nothing(tmp_path: Path) -> None:
    with lm_server() as server:
        plan = make_plan(request(server.api_base, tmp_path), rows(20))
        server.faults = [500] * 20
        with pytest.raises(RunStop, match="none of the 3 examples was answered") as stopped:
            run_probe(plan, 3)
    assert stopped.value.exit_code == 6


def test_of_several_optimizers_the_one_that_answers_least_does_not_win(tmp_path: Path) -> None:
    def answer(body: dict[str, Any]) -> str:
        """With two demos right or without form, with more of them always in form and now and then wrong."""
        demos, asked = sum(one["role"] == "assistant" for one in body["messages"]), str(body["messages"][-1]["content"])
        if demos == 2 and "negative" in classify(body):
            return "no format at all"
        return classify(body | {"messages": body["messages"][-1:]} if demos > 2 and "7." in asked else body)

    few, more = ({"name": "labeled_few_shot", "params": {"k": k}} for k in (2, 4))
    with lm_server(answer) as server:
        result = run(server, tmp_path, optimizer=[few, more])
    assert result.comparison is not None and result.comparison.failed_optimized == 0
    assert "4 after." in Path(result.record, "artifacts/key_improvements.txt").read_text()


def test_a_program_that_gives_no_form_to_what_the_baseline_got_right_is_not_called_better(tmp_path: Path) -> None:
    def answer(body: dict[str, Any]) -> str:
        """With demos it knows the negative ones, and makes nothing of most of the positive ones."""
        demos, asked = any(one["role"] == "assistant" for one in body["messages"]), str(body["messages"][-1]["content"])
        lost = demos and any(f"The {word} thing" in asked for word in ("great", "lovely", "quick", "kind"))
        return "no format at all" if lost else classify(body)

    with lm_server(answer) as server:
        pipeline = OptimizationPipeline(enable_tracking=False, runs_dir=tmp_path / "runs")
        result = pipeline.run(request(server.api_base, tmp_path), training_data=rows(160))
    comparison = result.comparison
    assert comparison is not None and comparison.p_value is not None and comparison.p_value < 0.001
    assert (comparison.optimized.success_rate, comparison.failed_baseline) == (1.0, 0)
    failed = comparison.failed_optimized
    assert 10 < failed < 26
    assert result.verdict == "inconclusive"
    assert result.reason.startswith(f"better only where the {failed} examples are left out to which the optimized")
