"""A record on disk: its states, its attempts and their time, and how it is made ready to be resumed."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from dspytrack.errors import ConfigError, DamagedError, NotFoundError, UsageError
from dspytrack.record.store import Record
from dspytrack.results.values import Candidate, Row
from tests.support.records import make_record, write_result


def touch_all(record: Record, at: float) -> None:
    """Set the time at which every file of a record was written."""
    for path in record.folder.rglob("*"):
        os.utime(path, (at, at))


def test_a_record_is_opened_by_its_id_and_one_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    record = make_record(tmp_path)
    assert Record.open(record.run_id, tmp_path).folder == record.folder
    with pytest.raises(NotFoundError, match="no record of a run nothing under"):
        Record.open("nothing", tmp_path)


def test_a_folder_that_cannot_be_written_is_a_mistake_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=f"{tmp_path}/file: the record cannot be written"):
        Record.create(tmp_path / "file")


def test_a_record_that_is_held_is_running_and_one_without_a_result_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dspytrack.record.lock.WAIT_SECONDS", 0.1)
    record = make_record(tmp_path)
    assert record.state == "interrupted"
    with record.locked():
        assert Record(record.folder).state == "running"
        with pytest.raises(UsageError, match="running"), Record(record.folder).locked():
            pass
    write_result(record, status="budget_reached")
    assert record.state == "budget_reached"


def test_fields_that_another_version_wrote_are_ignored_and_a_wrong_value_is_named(tmp_path: Path) -> None:
    record = make_record(tmp_path, "completed")
    found = record.read("result.json")
    record.write("result.json", found | {"of_the_future": 1, "usage": {"task": {"colour": "red"}}})
    assert record.state == "completed"
    record.write("result.json", found | {"status": "finished by magic"})
    with pytest.raises(DamagedError, match=r"result\.json cannot be read: status: "):
        _ = record.state


def test_the_result_of_an_older_version_and_of_a_copied_record_has_the_id_of_its_folder(tmp_path: Path) -> None:
    record = make_record(tmp_path, "completed")
    older = record.read("result.json") | {"run_id": "of MLflow", "mlflow_run_id": "of MLflow"}
    del older["record_id"]
    record.write("result.json", older)
    record.folder.rename(tmp_path / "copy")
    result = Record(tmp_path / "copy").result
    assert result is not None and (result.record_id, result.run_id) == ("copy", "of MLflow")


def test_the_time_of_an_attempt_that_ended_is_the_one_it_wrote_whatever_becomes_of_its_files(tmp_path: Path) -> None:
    record = make_record(tmp_path)
    record.begin_attempt()
    record.update_info(ended_at=time.time(), seconds=4.0)
    touch_all(record, time.time() + 3600)
    assert record.begin_attempt() == 4.0
    assert record.info.attempts == 2
    assert json.loads((record.folder / "run.json").read_text())["ended_at"] is None
    (record.folder / "responses.jsonl").write_text("")
    touch_all(record, time.time())
    later = time.time() + 60
    os.utime(record.folder / "responses.jsonl", (later, later))  # the second attempt is killed after it wrote this
    assert 63 < record.begin_attempt() < 66
    (record.folder / "tracking.json").write_text("{}")
    os.utime(record.folder / "tracking.json", (later + 60, later + 60))  # sending is no work on the run
    assert record.last_written < later + 1


def test_a_repaired_record_keeps_the_rows_that_count_and_no_result(tmp_path: Path) -> None:
    record = make_record(tmp_path, "failed")
    kept = Row(example_id="a", score=1.0, output={"label": "one\u2028two"})
    record.append("rows/baseline.jsonl", kept)
    record.append("rows/baseline.jsonl", Row(example_id="b", score=None, error="no answer"))
    record.append("candidates.jsonl", Candidate(step=1, optimizer="x", score=1.0, examples=1, whole=True))
    with (record.folder / "rows/baseline.jsonl").open("ab") as file:
        file.write('{"example_id": "ü'.encode()[:-1])
    record.repair()
    assert record.rows("baseline") == [kept]
    assert (record.rows("optimized"), record.candidates(), record.result) == ([], [], None)
