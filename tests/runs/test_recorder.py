"""What happens in a run is in its record as soon as it has happened."""

from __future__ import annotations

from pathlib import Path

import pytest

from dspytrack.record.store import Record
from dspytrack.results.values import Candidate, OptimizationResult, Row
from dspytrack.runs.events import CandidateScored, Finished, Note, PhaseEnded, RowScored
from dspytrack.runs.recorder import Recorder
from tests.support.records import make_record


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """A record at the start of its run."""
    return make_record(tmp_path)


def test_rows_and_candidates_are_kept_as_they_come_and_a_row_of_an_earlier_attempt_is_not_kept_twice(
    record: Record,
) -> None:
    keep, row = Recorder(record), Row(example_id="a", score=1.0)
    candidate = Candidate(step=1, optimizer="x", score=0.5, examples=2, whole=True)
    for event in (RowScored("baseline", row), RowScored("optimized", row, is_new=False), CandidateScored(candidate)):
        keep(event)
    keep(Note("for the user alone"))
    assert (record.rows("baseline"), record.rows("optimized"), record.candidates()) == ([row], [], [candidate])


def test_the_time_is_kept_at_the_end_of_each_phase_for_a_run_that_is_killed_after_it(record: Record) -> None:
    Recorder(record)(PhaseEnded("baseline", 7.0))
    assert (record.info.seconds, record.seconds, record.result) == (7.0, 7.0, None)


def test_the_result_is_kept_once_with_the_time_and_what_changed(record: Record) -> None:
    result = OptimizationResult(
        record_id=record.run_id, record=str(record.folder), status="completed", key_improvements=["one", "two"]
    )
    Recorder(record)(Finished(result, 9.0))
    assert record.result == result
    assert record.info.seconds == 9.0 and record.info.ended_at is not None
    assert (record.artifacts / "key_improvements.txt").read_text() == "one\ntwo\n"
