"""Dotted keys: nested data flattened, and back from text to a path."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspytrack.config.keys import dotted, flat, loc_of

NAMES = st.text("abcxyz_", min_size=1)
LEAVES = st.one_of(st.none(), st.integers(), st.text(), st.lists(st.integers()))
NESTED = st.recursive(LEAVES, lambda inner: st.dictionaries(NAMES, inner, min_size=1, max_size=4), max_leaves=12)


@given(st.lists(st.one_of(NAMES, st.integers(0, 99)), min_size=1))
def test_a_path_as_text_reads_back_as_itself(loc: list[Any]) -> None:
    assert loc_of(dotted(tuple(loc))) == tuple(loc)


@given(st.dictionaries(NAMES, NESTED, max_size=4))
def test_each_value_of_nested_data_stands_under_the_path_that_leads_to_it(data: dict[str, Any]) -> None:
    for key, value in flat(data):
        found: Any = data
        for part in loc_of(key):
            found = found[part]
        assert found == value


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({}, {}),
        ({"a": {}}, {"a": {}}),
        ({"a": [], "b": [1, 2]}, {"a": [], "b": [1, 2]}),
        ({"a": [{"b": 1}, {"b": {"c": 2}}]}, {"a.0.b": 1, "a.1.b.c": 2}),
        ({"tags": {"team.": "x", "team": "y"}}, {"tags.team.": "x", "tags.team": "y"}),
    ],
)
def test_lists_of_mappings_are_opened_and_what_is_empty_is_a_value(data: Any, expected: dict[str, Any]) -> None:
    assert dict(flat(data)) == expected
