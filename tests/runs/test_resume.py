"""Resumed runs: what may change between two attempts, what may not, and what a raised cap allows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dspytrack.errors import ChangedError, NotFoundError, UsageError
from dspytrack.pipeline import OptimizationPipeline
from dspytrack.record.checksum import sha256_of
from dspytrack.record.info import FORMAT, Fingerprint
from dspytrack.record.store import Record
from dspytrack.results.values import OptimizationResult
from dspytrack.runs import NEWEST
from dspytrack.runs.environment import versions
from dspytrack.runs.plan import make_plan
from dspytrack.runs.resume import reopen
from dspytrack.runs.start import start_record
from tests.support.lm_server import lm_server
from tests.support.records import write_result
from tests.support.requests import request, rows

NOWHERE = "http://127.0.0.1:9/v1"
TEACHER = {"model": "openai/gpt-4o", "api_base": NOWHERE}


@pytest.fixture(autouse=True)
def a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """LMs are built with it."""
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-for-loopback")


def started(folder: Path, **values: Any) -> Record:
    """The record of a run that was cut off at once."""
    return start_record(make_plan(request(NOWHERE, folder, **values), rows(40)), folder / "runs", {})


def resumed(folder: Path, which: str = NEWEST, warned: list[str] | None = None, **values: Any) -> Record:
    """The same run, asked for by another request; what is warned of goes to a list."""
    plan = make_plan(request(NOWHERE, folder, **values), rows(40))
    return reopen(plan, folder / "runs", which, ([] if warned is None else warned).append)


def lm(**changes: Any) -> dict[str, Any]:
    """The LM of the requests."""
    return {"model": "openai/gpt-4o-mini", "api_base": NOWHERE, "num_retries": 0, "timeout": 10} | changes


def test_settings_that_no_output_depends_on_are_taken_from_the_newest_request_and_recorded(tmp_path: Path) -> None:
    record = started(tmp_path, teacher_lm=TEACHER, constraints={"max_lm_calls": 500})
    warned: list[str] = []
    again = resumed(
        tmp_path,
        warned=warned,
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
    [change] = record.info.changes
    assert change.keys["constraints.max_lm_calls"] == {"was": 500, "is": None}
    assert set(change.keys) == {
        *("lm.timeout", "lm.num_retries", "teacher_lm.timeout", "constraints.max_lm_calls", "constraints.max_cost_usd"),
        *("evaluation.num_threads", "evaluation.max_consecutive_failures"),
        *("tracking.tags.team", "tracking.experiment_name"),
    }
    assert len(warned) == len(change.keys)
    assert "constraints.max_lm_calls was 500, is not set" in warned
    assert "tracking.experiment_name was not set, is 'other'" in warned


def test_every_change_of_a_run_stays_in_its_record(tmp_path: Path) -> None:
    record = started(tmp_path)
    params = record.info.params
    for calls in (100, 200):
        resumed(tmp_path, constraints={"max_lm_calls": calls})
    assert [dict(one.keys) for one in record.info.changes] == [
        {"constraints.max_lm_calls": {"was": None, "is": 100}},
        {"constraints.max_lm_calls": {"was": 100, "is": 200}},
    ]
    assert record.info.changes[0].at <= record.info.changes[1].at
    assert record.info.params == params


def test_a_run_that_is_in_mlflow_stays_in_its_experiment_and_says_so(tmp_path: Path) -> None:
    record = started(tmp_path)
    record.start_tracking(tracking_uri="sqlite:///m.db", experiment="the first", mlflow_run_id="0" * 32)
    warned: list[str] = []
    resumed(tmp_path, "0" * 32, warned, tracking={"experiment_name": "other"})
    [said] = warned
    assert said.startswith("tracking.experiment_name was not set, is 'other'; ")
    assert said.endswith("this run stays in the experiment the first, where it began")


def test_a_run_is_resumed_by_its_own_id_and_by_that_of_its_mlflow_run(tmp_path: Path) -> None:
    record, _ = started(tmp_path), started(tmp_path)
    record.start_tracking(tracking_uri="sqlite:///m.db", mlflow_run_id="0" * 32)
    assert resumed(tmp_path, record.run_id).folder == resumed(tmp_path, "0" * 32).folder == record.folder
    with pytest.raises(NotFoundError, match="no record of a run nothing under"):
        resumed(tmp_path, "nothing")


def test_where_nothing_has_changed_nothing_is_said_and_nothing_recorded(tmp_path: Path) -> None:
    record = started(tmp_path)
    before, warned = record.info, list[str]()
    resumed(tmp_path, warned=warned)
    assert (record.info, warned) == (before, [])


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"seed": 7}, "seed was 0, is 7"),
        ({"evaluation": {"num_threads": 4, "max_error_rate": 0.1}}, "evaluation.max_error_rate was 0.4, is 0.1"),
        ({"teacher_lm": TEACHER}, "teacher_lm.model was not set, is 'openai/gpt-4o'"),
        ({"lm": lm(options={"top_p": 0.5})}, "lm.options.top_p was not set, is 0.5"),
    ],
)
def test_a_setting_that_outputs_depend_on_is_refused(tmp_path: Path, values: dict[str, Any], said: str) -> None:
    record = started(tmp_path)
    before = record.request
    with pytest.raises(ChangedError) as caught:
        resumed(tmp_path, constraints={"max_lm_calls": 900}, **values)
    assert said in str(caught.value)
    assert "max_lm_calls" not in str(caught.value)
    assert "lm.options was" not in str(caught.value)
    assert (record.request, record.info.changes) == (before, ())


@pytest.mark.parametrize(
    ("info", "said"),
    [
        ({"format": FORMAT - 1}, f"has format {FORMAT - 1}, this version of dspytrack resumes format {FORMAT}"),
        ({"fingerprint": Fingerprint(data="another")}, "the data has changed"),
        ({"versions": versions() | {"dspy": "0.1"}}, f"dspy was 0.1, is {versions()['dspy']}"),
        ({"versions": versions() | {"python": "2.7"}}, "python was 2.7, is "),
    ],
)
def test_a_run_of_other_data_or_versions_is_refused(tmp_path: Path, info: dict[str, Any], said: str) -> None:
    record = started(tmp_path)
    record.update_info(**info)
    with pytest.raises(ChangedError) as caught:
        resumed(tmp_path)
    assert said in str(caught.value)


def test_a_module_of_the_user_that_has_changed_or_is_gone_is_named(tmp_path: Path) -> None:
    record = started(tmp_path)
    sources = {"gone.py": "0" * 64, "other.py": "0" * 64, "same.py": sha256_of(Path(__file__))}
    (tmp_path / "other.py").write_text("")
    (tmp_path / "same.py").write_bytes(Path(__file__).read_bytes())
    record.update_info(fingerprint=Fingerprint(data=record.info.fingerprint.data, sources=sources))
    with pytest.raises(ChangedError, match=r"\(gone\.py has changed; other\.py has changed\)"):
        resumed(tmp_path)


def test_a_version_of_mlflow_or_dspytrack_changes_no_output(tmp_path: Path) -> None:
    record = started(tmp_path)
    record.update_info(versions=versions() | {"mlflow": "1.0", "dspytrack": "0.0"})
    assert resumed(tmp_path).folder == record.folder


def test_a_run_that_ended_or_is_running_is_refused(tmp_path: Path) -> None:
    record = started(tmp_path)
    write_result(record)
    with pytest.raises(UsageError, match="is completed; there is nothing to resume"):
        resumed(tmp_path, record.run_id)
    with pytest.raises(NotFoundError, match="no unfinished run of this request under"):
        resumed(tmp_path)
    with record.locked(), pytest.raises(UsageError, match="is running; there is nothing to resume"):
        resumed(tmp_path, record.run_id)


def test_the_newest_run_of_another_config_file_is_not_resumed(tmp_path: Path) -> None:
    started(tmp_path).update_info(config="another.yaml")
    with pytest.raises(NotFoundError, match="no unfinished run"):
        resumed(tmp_path)


def test_a_run_at_its_budget_is_resumed_once_a_cap_is_raised_and_says_which_otherwise(tmp_path: Path) -> None:
    record = started(tmp_path, constraints={"max_lm_calls": 50})
    write_result(record, status="budget_reached")
    for caps in ({"max_lm_calls": 50}, {"max_lm_calls": 40}, {"max_lm_calls": 50, "max_tokens": 10**6}):
        with pytest.raises(UsageError, match=r"reached its budget; raise constraints\.max_lm_calls to resume it"):
            resumed(tmp_path, record.run_id, constraints=caps)
    assert resumed(tmp_path, constraints={"max_lm_calls": 60}).run_id == record.run_id


def test_a_damaged_record_does_not_keep_the_others_from_being_resumed(tmp_path: Path) -> None:
    record, newest = started(tmp_path), started(tmp_path)
    torn = Record(newest.folder.rename(tmp_path / "runs/99991231-000000-aaaaaa"))
    (torn.folder / "result.json").write_text("{")
    (torn.folder / "tracking.json").write_text("{")
    warned: list[str] = []
    assert resumed(tmp_path, warned=warned).run_id == record.run_id
    assert len(warned) == 1 and f"{torn.run_id}/result.json cannot be read" in warned[0]
    assert resumed(tmp_path, record.run_id).run_id == record.run_id


@pytest.mark.integration
def test_a_run_resumed_with_higher_caps_is_billed_nothing_twice_and_ends_as_one_that_always_had_them(
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
        last = run("short", None, 60, NEWEST)
    assert last.run_id == short.run_id
    tested_before = 16  # the best so far, which another program has taken the place of since
    assert server.billed - billed == billed + tested_before == last.metrics()["total_lm_calls"]
    assert (last.status, last.verdict) == ("completed", whole.verdict)
    assert last.comparison is not None and whole.comparison is not None
    assert last.comparison.optimized.success_rate == whole.comparison.optimized.success_rate
