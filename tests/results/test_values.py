"""A result gives each metric as an attribute, and stays the frozen value that it is."""

from __future__ import annotations

import copy
import pickle

import pytest
from pydantic import ValidationError

from dspytrack.results.catalogue import RESULT_METRICS
from dspytrack.results.values import OptimizationResult, RoleUsage
from tests.results.full import full_result


def test_each_metric_is_an_attribute_with_the_value_that_is_logged() -> None:
    result = full_result(iterations=3)
    logged = result.metrics()
    assert {name: getattr(result, name) for name in RESULT_METRICS} == logged
    assert (result.iterations, result.improvement_percentage, result.baseline_success_rate) == (3, 1.0, 1.0)


def test_an_unknown_metric_is_none() -> None:
    result = OptimizationResult(record_id="x", record="x", status="failed")
    assert (result.improvement_percentage, result.task_calls, result.total_cost_usd) == (None, None, None)
    unpriced = full_result(usage={"task": RoleUsage(calls=2, cost_usd=None)})
    assert (unpriced.task_calls, unpriced.task_cost_usd, unpriced.total_cost_usd) == (2, None, None)


def test_dir_lists_the_metrics_beside_the_fields() -> None:
    assert RESULT_METRICS | {"verdict", "metrics", "model_dump"} <= set(dir(full_result()))


def test_another_name_is_an_error_with_the_nearest_one() -> None:
    result = full_result()
    with pytest.raises(AttributeError, match=r"no attribute `improvment_percentage`\. Did you mean `improvement_perc"):
        _ = result.improvment_percentage
    with pytest.raises(AttributeError, match=r"no attribute `_private`\.$"):
        _ = result._private
    assert not hasattr(result, "validation_score")


def test_a_result_is_frozen_and_survives_copies_pickles_and_json() -> None:
    result = full_result()
    with pytest.raises(ValidationError):
        result.improvement_percentage = 2.0  # type: ignore[misc]
    copies = [copy.deepcopy(result), pickle.loads(pickle.dumps(result)), result.model_copy()]
    copies.append(OptimizationResult.model_validate_json(result.model_dump_json()))
    assert all(one == result and one.improvement_percentage == 1.0 for one in copies)
