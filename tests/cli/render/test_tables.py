"""Tables of runs that stay readable on a terminal of 80 columns."""

from __future__ import annotations

from typing import Any

import pytest

from dspytrack.cli.render.tables import print_runs
from dspytrack.tracking.run_view import RunView

USUAL = ["improvement_percentage", "statistical_significance", "optimized_success_rate"]
WIDE = ["total_cost_usd", "duration_seconds", "optimized_quality_score"]


def run(index: int, status: str, verdict: str | None = None, **facts: Any) -> RunView:
    """A run as every command prints it."""
    metrics = {"improvement_percentage": 1.25, "statistical_significance": 0.00001, "optimized_success_rate": 1.0}
    metrics |= {"total_cost_usd": 12.345678, "duration_seconds": 12345.6, "optimized_quality_score": 0.87654}
    tags = {"status": status} | ({"verdict": verdict} if verdict else {})
    view = {"run_id": f"{index}" * 32, "record_id": None, "run_name": "opt_agent_[/]_1", "status": "FINISHED"}
    return RunView.model_validate(view | {"metrics": metrics, "params": {}, "tags": tags} | facts)


RUNS = [
    run(1, "completed", "no difference shown"),
    run(2, "completed", "inconclusive", unsent="dspytrack runs sync"),
    run(3, "failed", resume="dspytrack optimize c.yaml --resume x[/]y"),
    run(4, "what is [/] this"),
]


@pytest.mark.parametrize("columns", [USUAL, WIDE])
def test_neither_words_nor_ids_nor_numbers_are_broken_at_80_columns(
    columns: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    print_runs(RUNS, columns, "table")
    out = capsys.readouterr().out
    words = set(out.split())
    assert {"1" * 32, "no", "difference", "shown", "inconclusive", "(unsent)", "failed"} <= words
    assert {"125.0%", "1e-05", "100.0%"} <= words or {"$12.35", "12345.6", "0.877"} <= words
    assert "failed: dspytrack optimize c.yaml --resume x[/]y\n" in out
    assert out.count("unsent: dspytrack runs sync\n") == 1
    assert all(len(line) <= 80 for line in out.splitlines())


def test_more_columns_than_fit_are_all_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    print_runs(RUNS, [*USUAL, *WIDE], "table")
    assert {"125.0%", "1e-05", "100.0%", "$12.35", "12345.6", "0.877"} <= set(capsys.readouterr().out.split())
