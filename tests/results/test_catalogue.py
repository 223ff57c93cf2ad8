"""The catalogue holds every metric once, and whatever knows a metric by name agrees with it."""

from __future__ import annotations

import subprocess
import sys
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspytrack.config.schema import ObjectiveMetric
from dspytrack.results.catalogue import (
    ENTRIES,
    METRIC_NAMES,
    METRICS,
    OBJECTIVES,
    RESULT_METRICS,
    format_value,
    markdown_table,
    table_head,
    usd,
)
from dspytrack.results.values import PerformanceMetrics
from tests.results.full import full_result

DESIGN = {  # the seed's table, to the letter
    *(f"{side}_{name}" for side in ("baseline", "optimized") for name in PerformanceMetrics.model_fields),
    *("success_rate_improvement", "cost_reduction", "latency_reduction_ms", "quality_improvement"),
    *("improvement_percentage", "statistical_significance", "iterations", "duration_seconds"),
}


def test_a_full_result_logs_every_metric_of_the_catalogue_and_no_other() -> None:
    assert set(full_result().metrics()) == RESULT_METRICS
    assert set(METRICS) - RESULT_METRICS == {"validation_score"}


def test_each_metric_stands_there_once_with_a_label_and_a_meaning() -> None:
    members = [one for entry in ENTRIES for one in entry.members()]
    assert len(members) == len(METRICS)
    assert all(one.label and one.meaning and one.group and "{" not in one.name for one in members)
    assert len({(one.label, one.group) for one in members}) == len(members)


def test_the_main_metrics_are_those_of_the_seed() -> None:
    assert set(METRIC_NAMES) == DESIGN and len(METRIC_NAMES) == len(DESIGN)


def test_objectives_are_the_same_in_the_config_in_a_comparison_and_here() -> None:
    assert set(get_args(ObjectiveMetric)) == set(PerformanceMetrics.model_fields) == set(OBJECTIVES)


@pytest.mark.parametrize(
    ("name", "value", "signed", "shown"),
    [
        ("improvement_percentage", 1.25, False, "125.0%"),
        ("success_rate_improvement", 0.211, True, "+21.1%"),
        ("optimized_quality_score", 0.87654, False, "0.877"),
        ("quality_improvement", -0.1, True, "-0.100"),
        ("baseline_avg_cost", 0.0001234, False, "$0.000123"),
        ("cost_reduction", 0.0001234, True, "+$0.000123"),
        ("latency_reduction_ms", -9.4, True, "-9 ms"),
        ("duration_seconds", 12345.6, False, "12345.6 s"),
        ("task_prompt_tokens", 1234567, False, "1,234,567"),
        ("judge_cost_usd", 12.345, False, "$12.35"),
        ("statistical_significance", 0.00001, False, "1e-05"),
        ("my_latency_ms", 12.3, False, "12 ms"),
        ("my_cost_ratio", 0.5, False, "0.5"),
        ("my_count", 1234.0, False, "1,234"),
        ("my_score", float("inf"), False, "inf"),
        ("iterations", None, False, ""),
    ],
)
def test_a_value_is_shown_with_its_unit(name: str, value: float | None, signed: bool, shown: str) -> None:
    assert format_value(name, value, signed) == shown


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        *((0, "$0.00"), (0.5, "$0.500"), (0.0123, "$0.0123"), (0.00001, "$0.0000100"), (1, "$1.00")),
        *((12345.678, "$12,345.68"), (-0.02, "-$0.0200"), (float("inf"), "$inf"), (None, "cost unknown")),
    ],
)
def test_usd_has_cents_at_least_and_three_digits_that_say_something(amount: float | None, shown: str) -> None:
    assert usd(amount) == shown


@given(st.floats(1e-9, 1e9))
def test_an_amount_of_usd_is_shown_to_within_half_a_percent(amount: float) -> None:
    assert float(usd(amount).replace("$", "").replace(",", "")) == pytest.approx(amount, rel=0.0051)


def test_a_tables_head_is_short_and_that_of_a_users_own_metric_its_name_in_words() -> None:
    assert table_head("improvement_percentage") == "improved"
    assert table_head("optimized_success_rate") == "optimized success"
    assert table_head("total_cost_usd") == "total cost"
    assert table_head("my_own_f1") == "my own f1"


def test_the_markdown_table_has_a_row_for_each_entry_and_names_the_families() -> None:
    lines = markdown_table().splitlines()
    rows = [line for line in lines if line.startswith("| `")]
    assert len(rows) == len(ENTRIES)
    assert len({line.count("|") for line in lines if line.startswith("|")}) == 1
    assert "| `{role}_cost_usd` | usage | USD | lower |" in markdown_table()
    assert lines[-1].endswith("`{role}` is one of task, teacher, prompt, reflection, judge, own.")


def test_the_catalogue_imports_nothing_heavy() -> None:
    code = "import sys, dspytrack.results.catalogue; print({'pydantic', 'dspy', 'mlflow', 'typer'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"
