"""A record on disk: looked at while it runs, read where it is damaged, its time counted."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest

from dspytrack.errors import DamagedError, UsageError
from dspytrack.record.index import find, read_each
from dspytrack.record.store import Record
from dspytrack.results.values import OptimizationResult


def made(root: Path, status: str | None = None) -> Record:
    """A record, with a result where it has a status."""
    record = Record.create(root)
    record.update_info(run_name="a run", started_at=time.time())
    if status is not None:
        record.write("result.json", {"run_id": record.run_id, "record": str(record.folder), "status": status})
    return record


def test_looking_at_a_record_hinders_nobody_and_is_not_taken_for_running_it(tmp_path: Path) -> None:
    record = made(tmp_path, "completed")
    with record.locked():
        pass
    over, seen = threading.Event(), set()

    def look() -> None:
        while not over.is_set():
            seen.add(record.state)

    readers = [threading.Thread(target=look) for _ in range(2)]
    for one in readers:
        one.start()
    try:
        time.sleep(0.2)
        assert seen == {"completed"}
        for _ in range(60):
            with record.locked():
                pass
    finally:
        over.set()
        for one in readers:
            one.join()


def test_a_record_that_is_held_is_running_for_everyone_and_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dspytrack.record.lock.WAIT_SECONDS", 0.1)
    record = made(tmp_path)
    assert record.state == "interrupted"
    with record.locked():
        assert [Record(record.folder).state for _ in range(3)] == ["running"] * 3
        with pytest.raises(UsageError, match="running"), Record(record.folder).locked():
            pass
    assert record.state == "interrupted"


def test_what_another_version_wrote_besides_is_passed_over(tmp_path: Path) -> None:
    record = made(tmp_path, "completed")
    record.write("result.json", record.read("result.json") | {"of_the_future": 1, "usage": {"task": {"colour": "red"}}})
    assert record.state == "completed"
    with pytest.raises(ValueError, match="of_the_future"):
        OptimizationResult.model_validate(record.read("result.json"))  # in code a wrong name stays a mistake


@pytest.mark.parametrize("name", ["result.json", "run.json"])
def test_a_torn_record_is_one_line_of_warning_and_the_others_are_read(tmp_path: Path, name: str) -> None:
    whole, torn = made(tmp_path, "completed"), made(tmp_path, "completed")
    (torn.folder / name).write_text('{"run_id": "x", "stat')
    (torn.folder / "tracking.json").write_text("{")
    warned: list[str] = []
    found = list(read_each(lambda record: (record.info.run_name, record.state), tmp_path, warned.append))
    assert [one.run_id for one, _ in found] == [whole.run_id]
    assert len(warned) == 1 and "\n" not in warned[0] and f"{torn.run_id}/{name} cannot be read" in warned[0]
    assert find(whole.run_id, tmp_path).folder == whole.folder


def test_a_result_of_another_shape_names_the_field(tmp_path: Path) -> None:
    record = made(tmp_path, "finished by magic")
    with pytest.raises(DamagedError, match=r"result\.json cannot be read: status: "):
        _ = record.state


def test_the_time_of_an_attempt_that_ended_is_the_one_it_wrote_whatever_becomes_of_its_files(tmp_path: Path) -> None:
    record = made(tmp_path)
    record.begin_attempt()
    record.update_info(ended_at=time.time(), seconds=4.0)
    later = time.time() + 3600
    for path in record.folder.rglob("*"):
        os.utime(path, (later, later))
    assert record.begin_attempt() == 4.0
    assert json.loads((record.folder / "run.json").read_text())["ended_at"] is None
    (record.folder / "responses.jsonl").write_text("")  # the second attempt is killed after it wrote this
    os.utime(record.folder / "responses.jsonl", (time.time() + 60, time.time() + 60))
    for path in record.folder.rglob("*"):
        if path.name != "responses.jsonl":
            os.utime(path, (time.time(), time.time()))
    assert 63 < record.begin_attempt() < 66


def test_a_line_that_cannot_be_read_is_named_and_one_of_another_version_is_read(tmp_path: Path) -> None:
    record = made(tmp_path)
    (record.folder / "rows/baseline.jsonl").write_text('{"example_id": "a", "score": 1, "of_the_future": 2}\n')
    assert [row.example_id for row in record.rows("baseline")] == ["a"]
    with (record.folder / "rows/baseline.jsonl").open("ab") as file:
        file.write(b'{"example_id": "\xff\n')
    with pytest.raises(DamagedError, match=r"baseline\.jsonl:2 cannot be read"):
        record.rows("baseline")
