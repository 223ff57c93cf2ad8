"""The command that resumes a run, and the cap that it has to raise."""

from __future__ import annotations

from pathlib import Path

import pytest

from dspytrack.record.store import Record
from dspytrack.results.values import OptimizationResult, Status, Verdict
from dspytrack.runs.how_to_resume import resume_command

CAPS = {"max_lm_calls": 150, "max_cost_usd": 0.5, "max_tokens": None}


def ended(
    folder: Path, status: Status, reason: str = "", verdict: Verdict | None = None, config: str | None = "config.yaml"
) -> Record:
    """The record of a run that has ended."""
    record = Record.create(folder)
    record.update_info(run_name="a run", started_at=0.0, config=config)
    record.write("request.json", {"constraints": CAPS})
    record.write(
        "result.json", OptimizationResult(record_id="x", record="x", status=status, reason=reason, verdict=verdict)
    )
    return record


@pytest.mark.parametrize("status", ["interrupted", "failed"])
def test_a_run_that_was_cut_off_is_resumed_as_it_was(status: Status, tmp_path: Path) -> None:
    record = ended(tmp_path, status, "max_lm_calls 150 reached (used 150)")
    assert resume_command(record) == f"dspytrack optimize config.yaml --resume --run {record.run_id}"


def test_a_run_that_has_completed_is_not_resumed(tmp_path: Path) -> None:
    assert resume_command(ended(tmp_path, "completed", verdict="better")) is None


def test_a_run_that_compared_within_its_cap_is_not_resumed(tmp_path: Path) -> None:
    assert resume_command(ended(tmp_path, "budget_reached", "max_lm_calls 150 reached", "better")) is None


@pytest.mark.parametrize(
    ("reason", "setting"),
    [
        ("max_lm_calls 150 reached (used 150)", " --set constraints.max_lm_calls=300"),
        ("max_cost_usd 0.5 reached (used 0.5)", " --set constraints.max_cost_usd=1"),
        (
            "a call of the task LM reported no cost, so max_cost_usd cannot be kept",
            " --set constraints.max_cost_usd=null",
        ),
        ("max_tokens 90 reached (used 95)", ""),
        ("no cap", ""),
    ],
    ids=["doubled", "doubled fraction", "cap that cannot be kept", "cap that was removed since", "no cap"],
)
def test_a_run_that_a_cap_ended_before_its_comparison_is_resumed_with_that_cap_raised(
    reason: str, setting: str, tmp_path: Path
) -> None:
    record = ended(tmp_path, "budget_reached", reason)
    assert resume_command(record) == f"dspytrack optimize config.yaml --resume --run {record.run_id}{setting}"


def test_the_state_that_the_run_will_be_in_counts_while_its_process_holds_the_record(tmp_path: Path) -> None:
    record = ended(tmp_path, "completed")
    assert resume_command(record, "failed") is not None
    assert resume_command(ended(tmp_path / "other", "failed"), "completed") is None


def test_a_path_with_a_space_is_quoted_and_an_unknown_one_is_left_to_the_user(tmp_path: Path) -> None:
    assert "optimize 'my config.yaml' --resume" in str(
        resume_command(ended(tmp_path, "failed", config="my config.yaml"))
    )
    assert "optimize CONFIG --resume" in str(resume_command(ended(tmp_path, "failed", config=None)))
