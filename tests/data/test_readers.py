"""Files of every kind give the same rows; what cannot be read is named with its file and line."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dspytrack.data import readers
from dspytrack.data.readers import read_rows
from dspytrack.errors import ConfigError

KEY = "dataset.path"
ROWS = [{"text": f"text {i}", "label": "ab"[i % 2]} for i in range(30)]


def test_the_same_rows_from_every_kind_of_file(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (tmp_path / "d.json").write_text(json.dumps(ROWS))
    with (tmp_path / "d.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["text", "label"])
        writer.writeheader()
        writer.writerows(ROWS)
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "d.parquet")
    for kind in ("jsonl", "json", "csv", "parquet"):
        assert [row.fields for row in read_rows(tmp_path / f"d.{kind}", KEY)] == ROWS


def test_a_csv_row_with_a_field_too_many_names_its_line(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("text,label\na,b\nc,d,e\n")
    with pytest.raises(ConfigError, match=r"d\.csv:3"):
        read_rows(tmp_path / "d.csv", KEY)


def test_a_byte_order_mark_is_no_part_of_the_data(tmp_path: Path) -> None:
    texts = {
        "jsonl": "".join(json.dumps(row) + "\n" for row in ROWS),
        "json": json.dumps(ROWS),
        "csv": "text,label\n" + "".join(f"{row['text']},{row['label']}\n" for row in ROWS),
    }
    for kind, text in texts.items():
        (tmp_path / f"d.{kind}").write_text(text, encoding="utf-8-sig")
        assert [row.fields for row in read_rows(tmp_path / f"d.{kind}", KEY)] == ROWS


def test_a_csv_cell_may_be_a_whole_document(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    text = "word " * 60_000
    (tmp_path / "d.csv").write_text("text,label\n" + "".join(f"{i} {text},{'ab'[i % 2]}\n" for i in range(10)))
    assert len(read_rows(tmp_path / "d.csv", KEY)[0].fields["text"]) > 300_000
    assert csv.field_size_limit() == before


def test_a_csv_line_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "LONGEST_CELL", 10)
    (tmp_path / "d.csv").write_text("text,label\na,b\nsomething longer,b\n")
    with pytest.raises(ConfigError, match=r"d\.csv:3: not CSV: field larger"):
        read_rows(tmp_path / "d.csv", KEY)


def test_a_csv_header_with_one_name_twice_would_lose_a_column(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("text,text,label\n" + "".join(f"{i},{i},b\n" for i in range(10)))
    with pytest.raises(ConfigError, match=r"d\.csv:1: the header has the column `text` 2 times"):
        read_rows(tmp_path / "d.csv", KEY)


@pytest.mark.parametrize("compression", ["snappy", "zstd", "none"])
def test_a_damaged_parquet_file_is_named(tmp_path: Path, compression: str) -> None:
    path = tmp_path / "d.parquet"
    pq.write_table(pa.Table.from_pylist(ROWS), path, compression=compression)
    data = path.read_bytes()
    path.write_bytes(data[:4] + b"\xff" * 200 + data[204:])
    with pytest.raises(ConfigError, match=r"d\.parquet"):
        read_rows(tmp_path / "d.parquet", KEY)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file that root cannot read either")
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for name in ("d.jsonl", "d.json", "d.csv"):
        (tmp_path / name).symlink_to("/proc/self/mem")
        with pytest.raises(ConfigError, match=r"dataset\.path: cannot be read: Input/output error") as caught:
            read_rows(tmp_path / name, KEY)
        assert caught.value.file == tmp_path / name
