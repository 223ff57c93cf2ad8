"""Rows that failed, in words and in numbers."""

from __future__ import annotations

from dspytrack.evaluation.failures import LONGEST, as_worst, commonest, counted, unusable
from dspytrack.results.values import Failure, Row

SCORED = Row(example_id="0", score=1.0)


def failed(error: str, failure: Failure = "call", score: float | None = None) -> Row:
    """A row without a score."""
    return Row(example_id="1", score=score, error=error, failure=failure)


def test_unusable_is_what_the_program_made_no_output_of() -> None:
    rows = [SCORED, failed("x"), failed("x", "program"), failed("x", "metric"), failed("x", "program")]
    assert unusable(rows) == 2
    assert [row.score for row in as_worst(rows, -1.0)] == [1.0, None, -1.0, None, -1.0]
    assert as_worst(rows, -1.0)[:2] == rows[:2]


def test_failures_are_counted_for_each_side_and_not_mentioned_where_there_are_none() -> None:
    assert counted([SCORED], [SCORED]) == ""
    two, one = [failed("x"), failed("x"), SCORED], [failed("x"), SCORED]
    assert counted(two, one) == "; failed: 2 of the baseline, 1 of the optimized program"
    assert counted([SCORED], one) == "; failed: 0 of the baseline, 1 of the optimized program"
    assert counted(two, []) == "; failed: 2 of the baseline, the optimized program was not measured"


def test_the_most_common_kind_of_error_is_named_with_the_first_of_them() -> None:
    rows = [SCORED, failed("KeyError: 'a'"), failed("Timeout: 1 s\n  later"), failed("Timeout: 2 s")]
    assert commonest(rows) == "2 of them with Timeout, the first: Timeout: 1 s later"
    assert commonest([SCORED]) == ""


def test_an_error_of_the_metric_is_another_kind_than_the_same_error_of_the_program() -> None:
    rows = [failed("KeyError: 'a'"), *[failed(f"metric: KeyError: {name}") for name in ("b", "c")]]
    assert commonest(rows) == "2 of them with metric: KeyError, the first: metric: KeyError: b"


def test_a_long_error_is_cut() -> None:
    whole, longer = "E: " + "x" * (LONGEST - 3), "E: " + "x" * (LONGEST - 2)
    assert commonest([failed(whole)]).endswith(f"first: {whole}")
    assert commonest([failed(longer)]).endswith(f"first: {whole} …")
