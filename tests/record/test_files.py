"""Files of a record: whole or not there, and a damaged one is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from dspytrack.errors import DamagedError
from dspytrack.record.files import read_json, read_lines, read_model, read_values, write_json, write_text
from dspytrack.results.values import Candidate, Row


def test_a_document_comes_back_and_no_temporary_file_is_left(tmp_path: Path) -> None:
    write_json(tmp_path / "a/b.json", {"ü": [1, None], "path": Path("x")})
    assert read_json(tmp_path / "a/b.json") == {"ü": [1, None], "path": "x"}
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.json"]
    assert read_json(tmp_path / "missing.json") is None
    assert read_model(tmp_path / "missing.json", Row) is None


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_text(tmp_path / "a.txt", "before")

    def full(_: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_text(tmp_path / "a.txt", "after")
    assert (tmp_path / "a.txt").read_text() == "before"


def test_a_document_that_cannot_be_read_is_named_with_its_field(tmp_path: Path) -> None:
    path = tmp_path / "row.json"
    path.write_text('{"example_id": "a"')
    with pytest.raises(DamagedError, match=r"row\.json cannot be read: "):
        read_json(path)
    path.write_text('{"example_id": "a", "score": 1, "of_the_future": 2}')
    assert read_model(path, Row) == Row(example_id="a", score=1)
    assert read_model(path, Row, example_id="b") == Row(example_id="b", score=1)
    path.write_text('{"example_id": "a", "score": "high"}')
    with pytest.raises(DamagedError, match=r"row\.json cannot be read: score: Input should be a valid number"):
        read_model(path, Row)


def test_a_line_that_cannot_be_read_is_named_by_its_number_and_field(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"example_id": "a", "score": 1, "of_the_future": 2}\n')
    assert [row.example_id for row in read_values(path, Row)] == ["a"]
    path.write_bytes(path.read_bytes() + b'{"example_id": "\xff\n')
    with pytest.raises(DamagedError, match=r"rows\.jsonl:2 cannot be read: "):
        read_values(path, Row)
    path.write_bytes(b'{"step": 1}\n')
    with pytest.raises(DamagedError, match=r"rows\.jsonl:1 cannot be read: optimizer: Field required"):
        read_values(path, Candidate)


def test_a_torn_last_line_and_empty_lines_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    assert read_lines(path) == []
    path.write_bytes("one\u2028two\n\nü".encode()[:-1])
    assert read_lines(path) == ["one\u2028two".encode()]
