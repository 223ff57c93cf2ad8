"""What a killed run used, and which of its rows still count."""

from __future__ import annotations

from pathlib import Path

import dspy

from dspytrack.lm.metering.usage import Bill
from dspytrack.record.recover import keep_only_rows_of, result_so_far
from dspytrack.results.values import Candidate, Row
from tests.support.records import make_record, write_responses


def test_a_killed_run_used_what_its_responses_were_billed(tmp_path: Path) -> None:
    record = make_record(tmp_path)
    write_responses(record, Bill("task", 5, 1, 0.25), None, Bill("task", 5, None, 0.5), Bill("judge", 1, 1, None))
    with record.responses.open("a") as file:
        file.write('no JSON\n{"key": "of another form"}\n')
        file.write(
            '{"key": "n", "bill": {"role": "task", "prompt_tokens": 1, "completion_tokens": 1, "cost_usd": 0.5}, '
        )
        file.write('"response": NaN}\n{"key": "torn')
    for step, score in ((1, 0.5), (2, 0.75), (2, 0.5)):
        record.append("candidates.jsonl", Candidate(step=step, optimizer="x", score=score, examples=2, whole=True))
    result = result_so_far(record)
    assert (result.record_id, result.status, result.iterations) == (record.run_id, "interrupted", 2)
    assert list(result.usage) == ["judge", "task"]
    task, judge = result.usage["task"], result.usage["judge"]
    assert (task.calls, task.cost_usd, task.prompt_tokens, task.completion_tokens) == (3, 1.25, None, None)
    assert (judge.calls, judge.cost_usd) == (1, None)
    assert result.metrics()["total_lm_calls"] == 4 and "total_cost_usd" not in result.metrics()


def test_rows_of_another_program_are_dropped_and_those_of_the_same_kept(tmp_path: Path) -> None:
    record = make_record(tmp_path)
    first, second = dspy.Predict("text -> label"), dspy.Predict("text -> label")
    second.demos = [dspy.Example(text="a", label="b")]
    keep_only_rows_of(record, first)
    record.append("rows/optimized.jsonl", Row(example_id="a", score=1.0))
    first.set_lm(dspy.LM("openai/gpt-4o-mini"))  # where a program runs makes it no other one
    keep_only_rows_of(record, first)
    assert [row.example_id for row in record.rows("optimized")] == ["a"]
    keep_only_rows_of(record, second)
    assert record.rows("optimized") == []
