"""What a run notes for its user while it is at work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dspytrack.pipeline import OptimizationPipeline
from dspytrack.record.store import Record
from dspytrack.results.values import OptimizationResult
from dspytrack.runs.events import Event, Note, PhaseStarted
from tests.support.lm_server import LMServer, lm_server
from tests.support.requests import request, rows

RANDOM_SEARCH = {
    "name": "bootstrap_random_search",
    "params": {"num_candidate_programs": 20, "max_bootstrapped_demos": 1},
}


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-for-loopback")


def run(server: LMServer, folder: Path, resume: str | None = None, **keys: Any) -> tuple[OptimizationResult, list[str]]:
    """The result of a small run, and what it noted."""
    notes: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, Note):
            notes.append(event.message)

    pipeline = OptimizationPipeline(enable_tracking=False, runs_dir=folder / "runs", listener=listen)
    result = pipeline.run(request(server.api_base, folder, **keys), training_data=rows(20), resume=resume)
    return result, notes


def test_a_run_with_nothing_to_note_notes_nothing(tmp_path: Path) -> None:
    with lm_server() as server:
        assert run(server, tmp_path)[1] == []


def test_a_key_without_effect_is_noted(tmp_path: Path) -> None:
    with lm_server() as server:
        assert [one.split(":")[0] for one in run(server, tmp_path, registry={"name": "mood"})[1]] == ["registry"]


def test_a_cap_that_ends_the_search_is_noted_with_what_is_tested(tmp_path: Path) -> None:
    with lm_server() as server:
        result, notes = run(server, tmp_path, optimizer=RANDOM_SEARCH, constraints={"max_lm_calls": 40})
    assert result.status == "budget_reached" and result.comparison is not None
    [note] = notes
    assert note.startswith("max_lm_calls 40 reached") and note.endswith("; the best program so far is tested now")


def test_an_error_is_noted_with_what_is_kept_and_how_to_resume_and_damage_when_the_run_is_resumed(
    tmp_path: Path,
) -> None:
    notes: list[str] = []

    def fail(event: Event) -> None:
        if isinstance(event, Note):
            notes.append(event.message)
        if event == PhaseStarted("optimization", None):
            raise ValueError("a bug")

    pipeline = OptimizationPipeline(enable_tracking=False, runs_dir=tmp_path / "runs", listener=fail)
    with lm_server() as server:
        with pytest.raises(ValueError, match="a bug"):
            pipeline.run(request(server.api_base, tmp_path), training_data=rows(20))
        [folder] = (tmp_path / "runs").iterdir()
        record = Record(folder)
        assert record.result is not None
        assert (record.result.status, record.result.error) == ("failed", "ValueError: a bug")
        [note] = notes
        assert note.startswith("8 LM calls") and f"--resume --run {record.run_id}" in note
        lines = record.responses.read_text().splitlines()
        record.responses.write_text("\n".join([lines[0][:20], *lines[1:]]) + "\n")
        result, resumed = run(server, tmp_path, record.run_id)
    assert (result.record_id, result.status) == (record.run_id, "completed")
    assert resumed == [f"{record.responses}: 1 lines cannot be read; the requests that they answered are sent again"]
