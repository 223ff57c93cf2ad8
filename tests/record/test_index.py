"""Finding records: newest first, by either id, past damaged ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from dspytrack.errors import NotFoundError
from dspytrack.record.index import all_records, find, read_each
from tests.support.records import make_record


def test_records_are_listed_newest_first_and_other_folders_left_out(tmp_path: Path) -> None:
    for name in ("20260101-000000-aaaaaa", "20260301-000000-aaaaaa", "20260201-000000-aaaaaa"):
        made = make_record(tmp_path)
        made.folder.rename(tmp_path / name)
    (tmp_path / "20260401-000000-aaaaaa").mkdir()  # a run that had not begun
    assert [one.run_id[:6] for one in all_records(tmp_path)] == ["202603", "202602", "202601"]
    assert all_records(tmp_path / "missing") == []


@pytest.mark.parametrize("name", ["result.json", "run.json"])
def test_a_torn_record_is_one_line_of_warning_and_the_others_are_read(tmp_path: Path, name: str) -> None:
    whole, torn = make_record(tmp_path, "completed"), make_record(tmp_path, "completed")
    (torn.folder / name).write_text('{"run_id": "x", "stat')
    warned: list[str] = []
    found = list(read_each(lambda record: (record.info.run_name, record.state), tmp_path, warned.append))
    assert [one.run_id for one, _ in found] == [whole.run_id]
    assert len(warned) == 1 and "\n" not in warned[0] and f"{torn.run_id}/{name} cannot be read" in warned[0]


def test_a_record_is_found_by_its_own_id_and_by_that_of_its_mlflow_run(tmp_path: Path) -> None:
    record, torn = make_record(tmp_path), make_record(tmp_path)
    record.start_tracking(tracking_uri="sqlite:///m.db", mlflow_run_id="0" * 32)
    (torn.folder / "tracking.json").write_text("{")
    assert find(record.run_id, tmp_path).folder == find("0" * 32, tmp_path).folder == record.folder
    with pytest.raises(NotFoundError, match="no record of a run x under"):
        find("x", tmp_path)
