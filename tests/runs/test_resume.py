"""Runs gone on with: what may change between two sittings, what may not, and what a raised cap allows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dspytrack.errors import ChangedError, UsageError
from dspytrack.pipeline import OptimizationPipeline
from dspytrack.record.store import Record
from dspytrack.results.values import OptimizationResult
from dspytrack.runs.plan import make_plan
from dspytrack.runs.resume import NEWEST, open_new, reopen
from tests.support.lm_server import lm_server
from tests.support.requests import request, rows

NOWHERE = "http://127.0.0.1:9/v1"
TEACHER = {"model": "openai/gpt-4o", "api_base": NOWHERE}


@pytest.fixture(autouse=True)
def a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """LMs are built with it."""
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-for-loopback")


def started(folder: Path, **values: Any) -> Record:
    """The record of a run that was cut off at once."""
    return open_new(make_plan(request(NOWHERE, folder, **values), rows(40)), folder / "runs", {})


def gone_on(folder: Path, which: str = NEWEST, **values: Any) -> Record:
    """The same run, asked for by another request."""
    return reopen(make_plan(request(NOWHERE, folder, **values), rows(40)), folder / "runs", which)


def lm(**changes: Any) -> dict[str, Any]:
    """The LM of the requests."""
    return {"model": "openai/gpt-4o-mini", "api_base": NOWHERE, "num_retries": 0, "timeout": 10} | changes


def test_what_alters_no_answer_is_taken_from_the_newest_request_and_noted(tmp_path: Path) -> None:
    record = started(tmp_path, teacher_lm=TEACHER, constraints={"max_lm_calls": 500})
    again = gone_on(
        tmp_path,
        lm=lm(timeout=60, num_retries=5),
        teacher_lm=TEACHER | {"timeout": 7},
        constraints={"max_cost_usd": 3},
        evaluation={"num_threads": 2, "max_consecutive_failures": 5},
        tracking={"tags": {"team": "x"}, "experiment_name": "other"},
    )
    assert again.run_id == record.run_id
    assert record.request["lm"]["timeout"] == 60
    assert record.info.tags["team"] == "x"
    assert "max_cost_usd: 3" in (record.artifacts / "config.yaml").read_text()
    [noted] = record.info.changes
    assert noted.keys["constraints.max_lm_calls"] == {"was": 500, "is": None}
    assert set(noted.keys) == {
        *("lm.timeout", "lm.num_retries", "teacher_lm.timeout", "constraints.max_lm_calls", "constraints.max_cost_usd"),
        *("evaluation.num_threads", "evaluation.max_consecutive_failures"),
        *("tracking.tags.team", "tracking.experiment_name"),
    }


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"seed": 7}, "seed was 0, is 7"),
        ({"evaluation": {"num_threads": 4, "max_error_rate": 0.1}}, "evaluation.max_error_rate was 0.4, is 0.1"),
        ({"teacher_lm": TEACHER}, "teacher_lm.model was not set, is 'openai/gpt-4o'"),
        ({"lm": lm(options={"top_p": 0.5})}, "lm.options.top_p was not set, is 0.5"),
    ],
)
def test_what_alters_answers_is_refused(tmp_path: Path, values: dict[str, Any], said: str) -> None:
    record = started(tmp_path)
    before = record.request
    with pytest.raises(ChangedError) as caught:
        gone_on(tmp_path, constraints={"max_lm_calls": 900}, **values)
    assert said in str(caught.value)
    assert "max_lm_calls" not in str(caught.value)
    assert "lm.options was" not in str(caught.value)
    assert (record.request, record.info.changes) == (before, ())


def test_a_run_at_its_budget_goes_on_where_a_cap_is_raised_and_says_which_otherwise(tmp_path: Path) -> None:
    record = started(tmp_path, constraints={"max_lm_calls": 50})
    record.write("result.json", OptimizationResult(record_id="x", record="x", status="budget_reached"))
    for caps in ({"max_lm_calls": 50}, {"max_lm_calls": 40}, {"max_lm_calls": 50, "max_tokens": 10**6}):
        with pytest.raises(UsageError, match=r"reached its budget; raise constraints\.max_lm_calls to go on"):
            gone_on(tmp_path, record.run_id, constraints=caps)
    assert gone_on(tmp_path, constraints={"max_lm_calls": 60}).run_id == record.run_id


def test_a_damaged_record_does_not_keep_the_others_from_being_gone_on_with(tmp_path: Path) -> None:
    record, torn = started(tmp_path), started(tmp_path)
    (torn.folder / "result.json").write_text("{")
    (torn.folder / "tracking.json").write_text("{")
    assert gone_on(tmp_path).run_id == record.run_id
    assert gone_on(tmp_path, record.run_id).run_id == record.run_id


@pytest.mark.integration
def test_a_run_resumed_with_more_room_and_time_pays_for_nothing_twice_and_ends_as_one_that_always_had_it(
    tmp_path: Path,
) -> None:
    search = {"name": "bootstrap_random_search", "params": {"num_candidate_programs": 3, "max_bootstrapped_demos": 1}}

    def run(folder: str, calls: int | None, timeout: int, resume: str | None = None) -> OptimizationResult:
        asked = request(
            server.api_base,
            tmp_path,
            lm=lm(api_base=server.api_base, timeout=timeout),
            optimizer=search,
            constraints={"max_lm_calls": calls},
        )
        pipeline = OptimizationPipeline(enable_tracking=False, runs_dir=tmp_path / folder)
        return pipeline.run(asked, training_data=rows(40), resume=resume)

    with lm_server() as server:
        whole = run("whole", None, 10)
        billed = server.billed
        short = run("short", 45, 10)
        assert short.status == "budget_reached"
        assert server.billed - billed <= 45
        resumed = run("short", None, 60, NEWEST)
    assert resumed.run_id == short.run_id
    tested_before = 16  # the best so far, which another program has taken the place of since
    assert server.billed - billed == billed + tested_before == resumed.metrics()["total_lm_calls"]
    assert (resumed.status, resumed.verdict) == ("completed", whole.verdict)
    assert resumed.comparison is not None and whole.comparison is not None
    assert resumed.comparison.optimized.success_rate == whole.comparison.optimized.success_rate
