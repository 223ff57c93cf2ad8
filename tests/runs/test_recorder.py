"""A run's events in its record: each as it comes, the result last."""

from __future__ import annotations

from pathlib import Path

import pytest

from dspytrack.record.store import Record, now
from dspytrack.results.values import Candidate, OptimizationResult, Row
from dspytrack.runs.events import CandidateScored, Finished, Note, PhaseEnded, PhaseStarted, RowScored
from dspytrack.runs.recorder import Recorder

RESULT = OptimizationResult(
    record_id="x", record="x", status="failed", error="a bug", key_improvements=["One.", "Two."]
)


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """A record at work, all attempts of which took 5 s so far."""
    found = Record.create(tmp_path)
    found.update_info(run_name="a run", started_at=now(), seconds=5.0)
    return found


def test_new_rows_are_kept_by_side_and_those_of_an_earlier_attempt_are_not_written_again(record: Record) -> None:
    one, other = Row(example_id="1", score=1.0), Row(example_id="2", score=None, error="no answer", failure="call")
    write = Recorder(record)
    write(RowScored("baseline", one))
    write(RowScored("baseline", other, is_new=False))
    write(RowScored("optimized", other))
    assert (record.rows("baseline"), record.rows("optimized")) == ([one], [other])


def test_candidates_are_kept_in_their_order(record: Record) -> None:
    tried = [Candidate(step=step, optimizer="gepa", score=0.5, examples=4, whole=False) for step in (1, 2)]
    for one in tried:
        Recorder(record)(CandidateScored(one))
    assert record.candidates() == tried


def test_the_time_so_far_is_kept_at_the_end_of_each_phase(record: Record) -> None:
    Recorder(record)(PhaseEnded("baseline", 12.5))
    assert (record.info.seconds, record.info.ended_at, record.result) == (12.5, None, None)


def test_the_result_is_kept_with_the_time_of_all_attempts_and_what_changed_in_words(record: Record) -> None:
    before = now()
    Recorder(record)(Finished(RESULT, 20.0))
    kept = record.result
    assert kept is not None and (kept.status, kept.error) == ("failed", "a bug")
    assert record.info.seconds == 20.0
    assert record.info.ended_at is not None and before <= record.info.ended_at <= now()
    assert (record.artifacts / "key_improvements.txt").read_text() == "One.\nTwo.\n"


def test_a_disk_that_fills_up_leaves_no_result_without_what_belongs_to_it(
    record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(Record, "write_text", full)
    with pytest.raises(OSError, match="no space"):
        Recorder(record)(Finished(RESULT, 20.0))
    assert record.result is None and record.state == "interrupted"


def test_what_is_only_shown_changes_nothing_in_the_record(record: Record) -> None:
    before = {path: path.read_bytes() for path in record.folder.rglob("*") if path.is_file()}
    for event in (PhaseStarted("baseline", 3), Note("read this")):
        Recorder(record)(event)
    assert {path: path.read_bytes() for path in record.folder.rglob("*") if path.is_file()} == before
