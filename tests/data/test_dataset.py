"""The split: nothing in two splits, the same for the same seed, even over strata; files of every kind."""

from __future__ import annotations

import csv
import json
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspytrack.config.schema import Dataset, Split
from dspytrack.data import readers as dataset_files
from dspytrack.data.dataset import SPLITS, load_splits
from dspytrack.errors import ConfigError

ROWS = [{"text": f"text {i}", "label": "ab"[i % 2]} for i in range(30)]
SPEC = Dataset(inputs=["text"], stratify="label")


@st.composite
def datasets(draw: st.DrawFn) -> tuple[list[dict[str, str]], Dataset, int]:
    """Rows (some twice), shares and a seed."""
    labels = draw(st.lists(st.sampled_from("abc"), min_size=12, max_size=60))
    rows = [{"text": f"text {i}", "label": label} for i, label in enumerate(labels)]
    rows += draw(st.lists(st.sampled_from(rows), max_size=5))
    train, val = draw(st.integers(2, 5)), draw(st.integers(1, 2))
    shares = Split(train=train / 10, val=val / 10, test=(10 - train - val) / 10)
    stratify = draw(st.sampled_from([None, "label"]))
    return rows, Dataset(inputs=["text"], split=shares, stratify=stratify), draw(st.integers(0, 99))


def ids(rows: list[dict[str, str]], spec: Dataset, seed: int) -> dict[str, list[str]]:
    """Example ids of each split."""
    splits = load_splits(spec, Path(), seed, rows)
    return {name: [item.example_id for item in getattr(splits, name)] for name in SPLITS}


@given(datasets())
def test_every_example_is_in_exactly_one_part(given_data: tuple[list[dict[str, str]], Dataset, int]) -> None:
    rows, spec, seed = given_data
    splits = load_splits(spec, Path(), seed, rows)
    texts = {name: [item.fields["text"] for item in getattr(splits, name)] for name in SPLITS}
    for one in SPLITS:
        for other in SPLITS:
            assert one == other or not set(texts[one]) & set(texts[other])
    assert Counter(text for name in SPLITS for text in texts[name]) == Counter(row["text"] for row in rows)


@given(datasets())
def test_the_split_depends_on_seed_and_rows_and_not_on_their_order(
    given_data: tuple[list[dict[str, str]], Dataset, int],
) -> None:
    rows, spec, seed = given_data
    assert ids(rows, spec, seed) == ids(rows[::-1], spec, seed)


@given(st.integers(10, 40), st.integers(10, 40), st.integers(0, 20))
def test_strata_keep_their_shares(first: int, second: int, seed: int) -> None:
    rows = [{"text": f"text {i}", "label": "a" if i < first else "b"} for i in range(first + second)]
    spec = SPEC.model_copy(update={"split": Split(train=0.5, val=0.2, test=0.3)})
    splits = load_splits(spec, Path(), seed, rows)
    for name, share in (("train", 0.5), ("val", 0.2), ("test", 0.3)):
        found = Counter(item.fields["label"] for item in getattr(splits, name))
        assert abs(found["a"] - share * first) <= 1
        assert abs(found["b"] - share * second) <= 1


def test_another_seed_is_another_split() -> None:
    assert ids(ROWS, SPEC, 0) != ids(ROWS, SPEC, 1)
    assert load_splits(SPEC, Path(), 0, ROWS).fingerprint != load_splits(SPEC, Path(), 1, ROWS).fingerprint


def test_the_same_rows_from_every_kind_of_file(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (tmp_path / "d.json").write_text(json.dumps(ROWS))
    with (tmp_path / "d.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["text", "label"])
        writer.writeheader()
        writer.writerows(ROWS)
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "d.parquet")
    found = {
        load_splits(SPEC.model_copy(update={"path": f"d.{kind}"}), tmp_path, 0).fingerprint
        for kind in ("jsonl", "json", "csv", "parquet")
    }
    assert len(found) == 1


def test_a_repeated_example_in_one_part_has_an_id_of_its_own() -> None:
    rows = [*ROWS, ROWS[0]]
    splits = load_splits(SPEC, Path(), 0, rows)
    every = [item.example_id for name in SPLITS for item in getattr(splits, name)]
    assert len(every) == len(set(every)) == 31


def test_a_csv_row_with_a_field_too_many_names_its_line(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("text,label\na,b\nc,d,e\n")
    with pytest.raises(ConfigError, match=r"d\.csv:3"):
        load_splits(SPEC.model_copy(update={"path": "d.csv"}), tmp_path, 0)


def test_the_same_inputs_stay_in_one_part_whatever_else_tells_them_apart(tmp_path: Path) -> None:
    data = [{"id": i, "text": f"text {i // 2}", "label": "ab"[i % 2]} for i in range(80)]
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in data))
    splits = load_splits(Dataset(path="d.jsonl", inputs=["text"], stratify="label"), tmp_path, 0)
    texts = [{item.fields["text"] for item in split} for split in (splits.train, splits.val, splits.test)]
    assert not texts[0] & texts[1] and not texts[0] & texts[2] and not texts[1] & texts[2]
    assert sum(len(split) for split in (splits.train, splits.val, splits.test)) == 80


def test_a_byte_order_mark_is_no_part_of_the_data(tmp_path: Path) -> None:
    texts = {
        "jsonl": "".join(json.dumps(row) + "\n" for row in ROWS),
        "json": json.dumps(ROWS),
        "csv": "text,label\n" + "".join(f"{row['text']},{row['label']}\n" for row in ROWS),
    }
    for kind, text in texts.items():
        (tmp_path / f"d.{kind}").write_text(text, encoding="utf-8-sig")
        splits = load_splits(SPEC.model_copy(update={"path": f"d.{kind}"}), tmp_path, 0)
        assert splits.fingerprint == load_splits(SPEC, Path(), 0, ROWS).fingerprint


def test_a_csv_cell_may_be_a_whole_document(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    text = "word " * 60_000
    (tmp_path / "d.csv").write_text("text,label\n" + "".join(f"{i} {text},{'ab'[i % 2]}\n" for i in range(10)))
    splits = load_splits(SPEC.model_copy(update={"path": "d.csv"}), tmp_path, 0)
    assert len(splits.test[0].fields["text"]) > 300_000
    assert csv.field_size_limit() == before


def test_what_csv_cannot_read_names_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset_files, "LONGEST_CELL", 10)
    (tmp_path / "d.csv").write_text("text,label\na,b\nsomething longer,b\n")
    with pytest.raises(ConfigError, match=r"d\.csv:3: not CSV: field larger"):
        load_splits(SPEC.model_copy(update={"path": "d.csv"}), tmp_path, 0)


def test_a_csv_header_with_one_name_twice_would_lose_a_column(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("text,text,label\n" + "".join(f"{i},{i},b\n" for i in range(10)))
    with pytest.raises(ConfigError, match=r"d\.csv:1: the header has the column `text` 2 times"):
        load_splits(SPEC.model_copy(update={"path": "d.csv"}), tmp_path, 0)


@pytest.mark.parametrize("compression", ["snappy", "zstd", "none"])
def test_a_damaged_parquet_file_is_named(tmp_path: Path, compression: str) -> None:
    path = tmp_path / "d.parquet"
    pq.write_table(pa.Table.from_pylist(ROWS), path, compression=compression)
    data = path.read_bytes()
    path.write_bytes(data[:4] + b"\xff" * 200 + data[204:])
    with pytest.raises(ConfigError, match=r"d\.parquet"):
        load_splits(SPEC.model_copy(update={"path": "d.parquet"}), tmp_path, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file that root cannot read either")
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for name in ("d.jsonl", "d.json", "d.csv"):
        (tmp_path / name).symlink_to("/proc/self/mem")
        with pytest.raises(ConfigError, match=r"dataset\.path: cannot be read: Input/output error") as caught:
            load_splits(SPEC.model_copy(update={"path": name}), tmp_path, 0)
        assert caught.value.file == tmp_path / name


def test_not_a_number_in_rows_of_a_caller_is_named() -> None:
    with pytest.raises(ConfigError, match=r"`label` at training_data\[3\] holds NaN"):
        load_splits(SPEC, Path(), 0, [*ROWS[:3], {"text": "x", "label": float("nan")}, *ROWS[4:]])
