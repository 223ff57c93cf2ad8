"""A record at the start of its run: everything that is known before the first LM call."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from dspytrack.config.loader import load_request
from dspytrack.record.info import FORMAT
from dspytrack.record.store import INPUTS
from dspytrack.runs.environment import versions
from dspytrack.runs.plan import Plan, make_plan
from dspytrack.runs.start import start_record
from tests.support.configs import write
from tests.support.requests import request, rows

NOWHERE = "http://127.0.0.1:9/v1"


@pytest.fixture(autouse=True)
def a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """LMs are built with it."""
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-for-loopback")


def plan_of(folder: Path, **values: Any) -> Plan:
    """A plan whose LM is never asked."""
    return make_plan(request(NOWHERE, folder, **values), rows(40))


def test_run_json_holds_name_times_versions_and_fingerprints(tmp_path: Path) -> None:
    plan, before = plan_of(tmp_path), time.time()
    info = start_record(plan, tmp_path / "runs", {}).info
    assert info.format == FORMAT
    assert info.run_name.startswith("opt_agent_mood_2")
    assert before <= info.started_at <= time.time()
    assert (info.ended_at, info.attempts, info.seconds, info.config) == (None, 0, 0.0, None)
    assert (info.versions, info.git_commit) == (versions(), None)
    assert info.fingerprint.data == plan.splits.fingerprint


def test_tags_are_the_users_and_those_that_every_run_has(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, tracking={"tags": {"team": "x"}}, optimizer=["labeled_few_shot", "copro"])
    assert start_record(plan, tmp_path / "runs", {}).info.tags == {
        "team": "x",
        "target_type": "agent",
        "target_id": "mood",
        "target_scope": "individual",
        "algorithms": "labeled_few_shot,copro",
        "dataset_fingerprint": plan.splits.fingerprint,
        "git_commit": "unknown",
    }


def test_params_are_the_optimizers_arguments_and_the_stated_baseline(tmp_path: Path) -> None:
    params = start_record(plan_of(tmp_path), tmp_path / "runs", {"success_rate": 0.9}).info.params
    assert params["optimizer_args.labeled_few_shot.k"] == 4
    assert params["stated_baseline_success_rate"] == 0.9


def test_request_splits_and_inputs_are_on_disk(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    record = start_record(plan, tmp_path / "runs", {})
    assert record.request == plan.request.resolved()
    splits = record.read("splits.json")
    assert {name: len(ids) for name, ids in splits.items()} == {"train": 16, "val": 8, "test": 16}
    assert splits["test"] == [item.example_id for item in plan.splits.test]
    assert {path.name for path in record.artifacts.iterdir() if path.is_file()} == set(INPUTS)


def test_the_config_file_is_remembered(tmp_path: Path) -> None:
    folder = write(tmp_path)
    record = start_record(make_plan(load_request(folder / "config.yaml")), tmp_path / "runs", {})
    assert record.info.config == str(folder / "config.yaml")
