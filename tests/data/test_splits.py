"""The split: nothing in two splits, the same for the same seed, even over strata."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspytrack.config.schema import Dataset, Split
from dspytrack.data.splits import SPLITS, load_splits
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
def test_every_example_is_in_exactly_one_split(given_data: tuple[list[dict[str, str]], Dataset, int]) -> None:
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


def test_a_repeated_example_has_an_id_of_its_own() -> None:
    rows = [*ROWS, ROWS[0]]
    splits = load_splits(SPEC, Path(), 0, rows)
    every = [item.example_id for name in SPLITS for item in getattr(splits, name)]
    assert len(every) == len(set(every)) == 31


def test_the_same_inputs_stay_in_one_split_whatever_else_differs(tmp_path: Path) -> None:
    data = [{"id": i, "text": f"text {i // 2}", "label": "ab"[i % 2]} for i in range(80)]
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in data))
    splits = load_splits(Dataset(path="d.jsonl", inputs=["text"], stratify="label"), tmp_path, 0)
    texts = [{item.fields["text"] for item in split} for split in (splits.train, splits.val, splits.test)]
    assert not texts[0] & texts[1] and not texts[0] & texts[2] and not texts[1] & texts[2]
    assert sum(len(split) for split in (splits.train, splits.val, splits.test)) == 80


def files(folder: Path, **rows: list[dict[str, str]]) -> Dataset:
    """A dataset of files that are splits already."""
    for name, some in rows.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
    return Dataset(inputs=["text"], **{name: f"{name}.jsonl" for name in rows})


def test_files_that_are_splits_stay_what_they_are(tmp_path: Path) -> None:
    splits = load_splits(files(tmp_path, train=ROWS[:20], test=ROWS[20:]), tmp_path, 0)
    texts = [[item.fields["text"] for item in getattr(splits, name)] for name in SPLITS]
    assert texts == [[row["text"] for row in ROWS[:20]], [], [row["text"] for row in ROWS[20:]]]


def test_the_same_inputs_in_two_files_are_refused_whatever_their_labels(tmp_path: Path) -> None:
    again = {"text": ROWS[3]["text"], "label": "another"}
    spec = files(tmp_path, train=ROWS[:10], val=ROWS[10:20], test=[*ROWS[20:], again])
    with pytest.raises(ConfigError, match=r"in train \(train\.jsonl:4\) and in test \(test\.jsonl:11\); remove one"):
        load_splits(spec, tmp_path, 0)


@pytest.mark.parametrize(("count", "share", "empty"), [(2, 0.2, "val"), (2, 0.0, None), (3, 0.2, None)])
def test_a_split_with_a_share_must_not_be_empty(tmp_path: Path, count: int, share: float, empty: str | None) -> None:
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS[:count]))
    spec = Dataset(path="d.jsonl", inputs=["text"], split=Split(train=0.5 - share / 2, val=share, test=0.5 - share / 2))
    if empty is None:
        assert load_splits(spec, tmp_path, 0).test
        return
    with pytest.raises(ConfigError, match=f"the {empty} split is empty") as caught:
        load_splits(spec, tmp_path, 0)
    assert caught.value.key == "dataset.split"
