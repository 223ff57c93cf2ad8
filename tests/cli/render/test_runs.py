"""One run in full: both programs side by side, every other metric below."""

from __future__ import annotations

from typing import Any

import pytest

from dspytrack.cli.render.runs import print_run
from dspytrack.tracking.run_view import RunView


def shown(capsys: pytest.CaptureFixture[str], **values: Any) -> list[str]:
    """What is printed of a run, each line without its frame."""
    tags = {"status": "completed", "verdict": "better", "verdict_reason": "p = 0.01"}
    view = {"run_id": "x1", "record_id": None, "run_name": "opt", "status": "FINISHED", "tags": tags}
    print_run(RunView.model_validate(view | {"metrics": {}, "params": {}} | values))
    return [" ".join(line.replace("│", " ").split()) for line in capsys.readouterr().out.splitlines()]


def test_what_is_measured_of_both_programs_stands_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    metrics = {"baseline_success_rate": 0.5, "optimized_success_rate": 0.75, "optimized_avg_cost": 0.0012}
    metrics |= {"baseline_latency_p95_ms": 12.0, "optimized_latency_p95_ms": 11.0, "task_calls": 1234.0}
    lines = shown(capsys, metrics=metrics)
    assert lines[:2] == ["opt · x1 · completed", "better: p = 0.01"]
    assert "success_rate 50.0% 75.0%" in lines
    assert "avg_cost unknown $0.00120" in lines
    assert "latency_p95_ms 12 ms 11 ms" in lines
    assert "task_calls 1,234" in lines
    assert not any(line.startswith("quality_score") for line in lines)


def test_what_to_type_next_is_to_resume_to_send_or_to_pull(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, resume="dspytrack optimize c.yaml")[-1] == "next: dspytrack optimize c.yaml"
    assert shown(capsys, unsent="dspytrack runs sync")[-2] == "next: dspytrack runs sync"
    assert shown(capsys)[-1] == "next: dspytrack model pull x1 -o model/"


def test_what_looks_like_markup_is_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, run_name="opt_agent_[/]_1", metrics={"a[/]b": 1.0})
    assert lines[0].startswith("opt_agent_[/]_1 · ")
    assert "a[/]b 1" in lines
