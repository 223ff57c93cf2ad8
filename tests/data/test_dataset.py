"""Rows become items; a column that would be lost and a value that is no JSON are named."""

from __future__ import annotations

from typing import Any

import pytest

from dspytrack.config.schema import Dataset
from dspytrack.data.dataset import Item, to_example, to_items
from dspytrack.data.readers import DataRow
from dspytrack.errors import ConfigError

SPEC = Dataset(inputs=["text"], stratify="label")


def items(*rows: dict[str, Any], spec: Dataset = SPEC) -> list[Item]:
    """Items of rows, their places numbered from 1."""
    return to_items([DataRow(row, f"data.jsonl:{number}") for number, row in enumerate(rows, 1)], spec)


def test_the_same_fields_have_the_same_id_and_the_same_inputs_the_same_group() -> None:
    first, again, other = items(
        {"text": "a", "label": "up"}, {"label": "up", "text": "a"}, {"text": "a", "label": "down"}
    )
    assert first.example_id == again.example_id != other.example_id
    assert first.group == again.group == other.group
    assert items({"text": "b", "label": "up"})[0].group != first.group


def test_an_example_has_its_inputs_marked() -> None:
    example = to_example(items({"text": "a", "label": "up"})[0], ["text"])
    assert example.inputs().toDict() == {"text": "a"}
    assert example.labels().toDict() == {"label": "up"}


@pytest.mark.parametrize("value", [float("nan"), [1.0, float("inf")], {"deep": float("-inf")}])
def test_a_number_that_is_no_json_is_named_with_its_place(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"`label` at data\.jsonl:2 holds NaN or Infinity") as caught:
        items({"text": "a", "label": "up"}, {"text": "b", "label": value})
    assert caught.value.key == "dataset"


@pytest.mark.parametrize(
    ("row", "key", "says"),
    [
        ({"txet": "a", "label": "up"}, "dataset.inputs", "no `text` at data.jsonl:1. Did you mean `txet`?"),
        ({"text": "a"}, "dataset.stratify", "no `label` at data.jsonl:1. It has: text."),
        ({}, "dataset.inputs", "It has: nothing."),
    ],
)
def test_a_column_that_is_not_there_is_named_with_what_is(row: dict[str, Any], key: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        items(row)
    assert caught.value.key == key
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("column", "key"), [("base", "dataset"), ("self", "dataset"), ("text", "dataset.inputs"), ("dspy_a", None)]
)
def test_a_column_that_dspy_would_lose_is_refused(column: str, key: str | None) -> None:
    spec = Dataset(inputs=["dspy_text"]) if column == "text" else Dataset(inputs=["text"])
    row = {spec.inputs[0]: "a", column: "b"}
    if key is None:  # only an input is lost by such a name
        assert items(row, spec=spec)
        return
    with pytest.raises(ConfigError, match="DSPy keeps that name for itself; rename it") as caught:
        items(row, spec=spec)
    assert caught.value.key == key
