"""What the types of a request say about a path."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from dspytrack.config.base import Mark
from dspytrack.config.keys import Loc, dotted
from dspytrack.config.locations import is_marked, is_text, keys_at, may_be_null
from dspytrack.config.schema import OptimizationRequest

ANY_KEY = "x"
"""A key of a mapping that takes any."""


def every_key(schema: dict[str, Any], node: dict[str, Any], loc: Loc = ()) -> Iterator[Loc]:
    """Each key of the JSON Schema that has no keys of its own below it."""
    for option in node.get("anyOf", [node]):
        name = option.get("$ref", "").rpartition("/")[2]
        model = schema["$defs"][name] if name else option
        if "properties" in model:
            for key, inner in model["properties"].items():
                yield from every_key(schema, inner, (*loc, key))
        elif model.get("type") == "array" and "$ref" in model["items"]:
            yield from every_key(schema, model["items"], (*loc, 0))
        elif model.get("type") == "object":
            yield (*loc, ANY_KEY)
        else:
            yield loc


def keys_of(model: type[BaseModel]) -> set[Loc]:
    """Each key of the config file."""
    schema = model.model_json_schema(by_alias=True)
    return set(every_key(schema, schema))


@pytest.mark.parametrize(
    ("loc", "text"),
    [
        (("tracking", "tags", "any"), True),
        (("optimizer", "name"), True),
        (("optimizer", 0, "name"), True),
        (("optimizer", "params", "k"), False),
        (("dataset", "inputs", 0), True),
        (("dataset", "inputs"), False),
        (("program", "import"), True),
        (("metric", "lm", "model"), True),
        (("objectives", 0, "metric"), True),
        (("nothing", "here"), False),
    ],
)
def test_the_request_says_where_text_belongs(loc: Loc, text: bool) -> None:
    assert is_text(loc) is text


def test_the_request_says_which_keys_are_known_and_where_null_may_stand() -> None:
    assert keys_at(("dataset", "split")) == ["train", "val", "test"]
    assert keys_at(("optimizer",)) == keys_at(("optimizer", 0)) == ["name", "params"]
    assert "import" in keys_at(("program",)) and keys_at(("program", "import")) == []
    assert may_be_null(("metric", "lm")) and not may_be_null(("lm",))


LMS = ("lm", "prompt_lm", "teacher_lm", "reflection_lm", "metric.lm")
MAY_CHANGE = {
    *(f"{lm}.{key}" for lm in LMS for key in ("timeout", "num_retries")),
    *("evaluation.num_threads", "evaluation.max_consecutive_failures"),
    *("tracking.experiment_name", f"tracking.tags.{ANY_KEY}", "tracking.traces"),
    *("constraints.max_optimization_time", "constraints.max_cost_usd", "constraints.max_lm_calls"),
    *("constraints.max_tokens", "constraints.min_improvement_threshold"),
}


def test_of_every_key_it_is_known_whether_it_may_change_between_attempts() -> None:
    found = keys_of(OptimizationRequest)
    assert {dotted(loc) for loc in found if is_marked(loc, Mark.MAY_CHANGE)} == MAY_CHANGE
    fixed = {dotted(loc) for loc in found if not is_marked(loc, Mark.MAY_CHANGE)}
    assert {"seed", "lm.model", "lm.options.x", "optimizer.0.params.x", "dataset.split.train"} <= fixed
    assert len(fixed) > 80


@pytest.mark.parametrize(
    "key", [("tracking", "tags", "a", "b"), ("constraints", "unheard_of"), ("tracking", "tags", 0)]
)
def test_a_mark_on_a_section_holds_for_everything_below_it(key: Loc) -> None:
    assert is_marked(key, Mark.MAY_CHANGE)


@pytest.mark.parametrize("key", [("timeout",), ("lm", "options", "timeout"), ("nothing", "here"), ()])
def test_a_key_of_the_same_name_elsewhere_carries_no_mark(key: Loc) -> None:
    assert not is_marked(key, Mark.MAY_CHANGE)
