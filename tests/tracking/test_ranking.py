"""Which way of a metric is better."""

from __future__ import annotations

import pytest

from dspytrack.results.catalogue import METRICS
from dspytrack.tracking.ranking import better_direction

UP = {
    *("baseline_success_rate", "optimized_success_rate", "baseline_quality_score", "optimized_quality_score"),
    *("success_rate_improvement", "cost_reduction", "latency_reduction_ms", "quality_improvement"),
    *("improvement_percentage", "quality_improvement_ci_low", "quality_improvement_ci_high"),
    *("test_examples", "test_inputs", "validation_score"),
}


def test_for_every_metric_of_a_run_the_better_direction_is_known() -> None:
    assert {name for name in METRICS if better_direction(name) == "DESC"} == UP


@pytest.mark.parametrize("name", ["loss", "val_loss", "errorRate", "rmse", "answer_latency_ms", "cost"])
def test_less_is_better_of_a_users_own_metric_that_says_so(name: str) -> None:
    assert better_direction(name) == "ASC"


@pytest.mark.parametrize("name", ["glossary", "accuracy", "cost_reduction_of_mine", "terror", "f1", "my_score"])
def test_more_is_better_of_any_other(name: str) -> None:
    assert better_direction(name) == "DESC"
