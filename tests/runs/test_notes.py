"""What a run notes for its user besides its result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dspytrack.lm.metering.meter import Meter
from dspytrack.lm.metering.usage import Bill
from dspytrack.record.store import Record
from dspytrack.results.values import OptimizationResult, RoleUsage
from dspytrack.runs.notes import differing_baseline, kept_after_error, unbilled_calls, without_effect
from tests.results.full import full_result
from tests.support.requests import request


@pytest.mark.parametrize(
    ("keys", "noted"),
    [
        ({}, []),
        ({"tracking": {"traces": "none"}}, []),
        ({"tracking": {"traces": "sample"}}, ["tracking.traces"]),
        ({"registry": {"name": "mood"}, "tracking": {"traces": "all"}}, ["registry", "tracking.traces"]),
    ],
)
def test_a_key_that_this_version_does_nothing_with_is_noted_where_it_is_set(
    keys: dict[str, Any], noted: list[str], tmp_path: Path
) -> None:
    found = list(without_effect(request("http://127.0.0.1:9/v1", tmp_path, **keys)))
    assert [note.split(":")[0] for note in found] == noted
    assert all("the key is kept in the record" in note for note in found)


def test_calls_whose_bill_nobody_knows_are_noted_and_no_others() -> None:
    meter = Meter()
    meter.admit("task", 1)
    meter.billed(Bill("task", 1, 1, 0.1, prompt_chars=1))
    assert list(unbilled_calls(meter)) == []
    meter.admit("task", 1)
    for _ in range(2):
        meter.timed_out(Bill("task", None, None, None, timed_out=True))
    assert list(unbilled_calls(meter)) == [
        "1 LM calls were under way at the end; what they are billed is in no figure",
        "2 LM calls timed out; what the provider may charge for them is in no figure",
    ]


@pytest.mark.parametrize(
    ("stated", "differs"), [(1.0, False), (0.991, False), (1.0099, False), (0.98, True), (1.02, True), (0.0, True)]
)
def test_a_stated_baseline_is_noted_where_it_differs_by_more_than_one_percent(stated: float, differs: bool) -> None:
    noted = list(differing_baseline({"success_rate": stated}, full_result().comparison))
    said = f"baseline success_rate: stated {stated:g}, measured 1; the measured one is used"
    assert noted == ([said] if differs else [])


def test_each_stated_metric_is_compared_and_one_that_was_not_measured_is_left_out() -> None:
    comparison = full_result().comparison
    assert comparison is not None
    means = comparison.baseline.model_copy(update={"avg_cost": None, "success_rate": 0.0})
    stated = {"avg_cost": 5.0, "success_rate": 0.0, "quality_score": 0.5, "speed": 3.0, "avg_latency_ms": 900.0}
    noted = list(differing_baseline(stated, comparison.model_copy(update={"baseline": means})))
    assert [note.split(":")[0] for note in noted] == ["baseline quality_score", "baseline avg_latency_ms"]
    assert list(differing_baseline(stated, None)) == []


def test_after_an_error_the_user_reads_what_is_kept_and_how_to_resume(tmp_path: Path) -> None:
    record = Record.create(tmp_path)
    record.update_info(run_name="a run", started_at=0.0, config="config.yaml")
    usage = {"task": RoleUsage(calls=40, cost_usd=0.25), "teacher": RoleUsage(calls=2, cost_usd=None)}
    known = OptimizationResult(record_id="x", record="x", status="failed", usage={"task": usage["task"]})
    resume = f"resume with: dspytrack optimize config.yaml --resume --run {record.run_id}"
    assert kept_after_error(record, known) == (
        f"40 LM calls, $0.250, are billed and kept in {record.folder}; once the error is fixed, {resume}"
    )
    assert "42 LM calls, cost unknown, are billed" in kept_after_error(
        record, known.model_copy(update={"usage": usage})
    )
