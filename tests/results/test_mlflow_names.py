"""Names of tags and params as MLflow takes them."""

from __future__ import annotations

import re

import pytest
from pydantic import ValidationError

from dspytrack.config.schema import Tracking
from dspytrack.results.mlflow_names import LONGEST_NAME, names_of, storable


@pytest.mark.parametrize(
    ("key", "name"),
    [
        *(("team", "team"), ("a/b c:d.1-e", "a/b c:d.1-e"), ("ünï", "ünï")),
        *(("team//x", "team/x"), ("/a/../b/", "a/__/b"), ("..", "__"), ("", "_"), ("a[b", "a_b")),
        ("x" * 300, "x" * LONGEST_NAME),
    ],
)
def test_a_key_that_mlflow_takes_stays_as_it_is_and_another_is_made_storable(key: str, name: str) -> None:
    assert storable(key) == name
    assert storable(name) == name


def test_each_key_has_a_name_of_its_own_and_one_that_is_storable_keeps_it() -> None:
    assert names_of(["a[b", "a(b", "a_b"]) == {"a_b": "a_b", "a[b": "a_b_2", "a(b": "a_b_3"}
    long = names_of(["x" * 299, "x" * 300])
    assert len(set(long.values())) == 2 and all(len(name) == LONGEST_NAME for name in long.values())


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({"mlflow.runName": "mine"}, "MLflow's own"),
        ({"team//x": "y"}, "`team/x` would do"),
        ({"a": "x" * 5001}, "5000 characters"),
    ],
)
def test_a_tag_that_mlflow_would_reject_is_rejected_before_anything_is_spent(tags: dict[str, str], said: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(said)):
        Tracking(tags=tags)
    assert Tracking(tags={"team/x y:z.1": "ok", "ünï": ""}).tags
