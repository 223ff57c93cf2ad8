"""The artifacts of a run as MLflow gets them."""

from __future__ import annotations

import json
from pathlib import Path

import dspy
import pytest

from dspytrack.config.loader import load_request
from dspytrack.programs.package import load, verify
from dspytrack.record.store import Record
from dspytrack.results.values import Row
from dspytrack.runs.artifacts import key_improvements, write_evaluation, write_inputs, write_model
from dspytrack.runs.plan import Plan, make_plan
from dspytrack.runs.search import Found
from tests.results.full import full_result
from tests.support.configs import write
from tests.support.records import make_record


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """A plan of a config file."""
    monkeypatch.setenv("OPENAI_API_KEY", "a-key")
    return make_plan(load_request(write(tmp_path) / "config.yaml"))


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """A record without artifacts."""
    return make_record(tmp_path / "runs", versions={"dspytrack": "1"})


def test_the_inputs_are_the_data_that_optimizers_see_their_parameters_and_the_whole_request(
    plan: Plan, record: Record
) -> None:
    write_inputs(record, plan)
    items = record.read("artifacts/training_data.json")
    expected = {item.example_id for item in (*plan.splits.train, *plan.splits.val)}
    assert {item["example_id"] for item in items} == expected
    assert set(items[0]) == {"example_id", "part", "text", "label"} and items[0]["part"] == "train"
    assert record.read("artifacts/algorithm_parameters.json")["labeled_few_shot"]["k"] == 2
    assert load_request(record.artifacts / "config.yaml").resolved() == plan.request.resolved()


def test_a_disk_that_fills_up_leaves_no_half_of_the_config_among_the_artifacts(
    plan: Plan, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_inputs(record, plan)
    written = (record.artifacts / "config.yaml").read_text()

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("ruamel.yaml.YAML.dump", full)
    with pytest.raises(OSError, match="no space"):
        write_inputs(record, plan)
    assert (record.artifacts / "config.yaml").read_text() == written


def test_the_evaluation_table_has_a_row_for_each_test_example_with_both_sides(plan: Plan, record: Record) -> None:
    first, second, *others = [item.example_id for item in plan.splits.test]
    baseline = [Row(example_id=first, score=0.0, output={"label": "ü"}, cost_usd=0.5, latency_ms=12.0)]
    optimized = [Row(example_id=first, score=1.0, completion_tokens=3), Row(example_id=second, score=None, error="no")]
    write_evaluation(record, plan, baseline, optimized)
    table = record.read("artifacts/evaluation.json")
    rows = {row[0]: dict(zip(table["columns"], row, strict=True)) for row in table["data"]}
    assert list(rows) == [first, second, *others]
    one = rows[first]
    assert list(one)[:5] == ["example_id", "inputs", "expected", "baseline_output", "optimized_output"]
    assert (set(json.loads(one["inputs"])), set(json.loads(one["expected"]))) == ({"text"}, {"label"})
    assert (one["baseline_output"], one["optimized_output"]) == ('{"label": "ü"}', None)
    assert (one["baseline_score"], one["optimized_score"], one["optimized_completion_tokens"]) == (0.0, 1.0, 3)
    assert (one["baseline_cost_usd"], one["baseline_latency_ms"], one["baseline_error"]) == (0.5, 12.0, None)
    assert (rows[second]["baseline_score"], rows[second]["optimized_error"]) == (None, "no")
    assert set(list(rows[others[0]].values())[3:]) == {None}


def test_the_model_says_of_which_run_by_which_optimizer_and_how_good_it_is(plan: Plan, record: Record) -> None:
    comparison = full_result().comparison
    assert comparison is not None
    write_model(record, plan, Found(plan.program, "labeled_few_shot"), comparison)
    metadata = verify(record.artifacts / "models")
    facts = {name: metadata[name] for name in ("run_id", "algorithm", "improvement", "verdict", "dspytrack")}
    assert facts == {
        "run_id": record.run_id,
        "algorithm": "labeled_few_shot",
        "improvement": 1,
        "verdict": "better",
        "dspytrack": {"dspytrack": "1"},
    }
    assert load(record.artifacts / "models").dump_state() == plan.program.dump_state()


def test_what_changed_is_read_from_the_programs_and_the_rows() -> None:
    before = dspy.Predict(dspy.Signature("text -> label", "Name the mood."))
    after = before.deepcopy()
    after.signature = after.signature.with_instructions("Name the mood.\nBe brief.")
    after.demos = [dspy.Example(text="good", label="up", augmented=True)]
    rows = [
        [Row(example_id=name, score=score) for name, score in side]
        for side in (
            [("a", 0.0), ("b", 1.0), ("c", 1.0), ("d", None)],
            [("a", 1.0), ("b", 0.5), ("c", 1.0), ("d", 1.0)],
        )
    ]
    assert key_improvements(before, after, rows[0], rows[1]) == [
        "self: instructions changed.",
        "    --- before",
        "    +++ after",
        "    @@ -1 +1,2 @@",
        "     Name the mood.",
        "    +Be brief.",
        "self: 0 demos before, 1 after.",
        '    {"text": "good", "label": "up"}',
        "Of 3 test examples scored on both sides, 1 scored higher and 1 lower.",
        "Up: a (0 -> 1)",
        "Down: b (1 -> 0.5)",
    ]


def test_where_nothing_changed_that_is_said_and_long_lists_are_cut() -> None:
    program = dspy.Predict("text -> label")
    old = [Row(example_id=f"{number:02}", score=0.0) for number in range(21)]
    new = [row.model_copy(update={"score": 1.0}) for row in old]
    said = key_improvements(program, program.deepcopy(), old, new)
    assert said[0] == "The optimizer changed nothing in the program."
    assert said[-1].startswith("Up: 00 (0 -> 1), ") and said[-1].endswith("19 (0 -> 1) …")


def test_a_predictor_that_was_not_there_before_is_named() -> None:
    class Two(dspy.Module):
        """A program with one predictor more."""

        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = dspy.Predict("a -> b"), dspy.Predict("b -> c")

    class One(dspy.Module):
        """A program with one predictor."""

        def __init__(self) -> None:
            super().__init__()
            self.first = dspy.Predict("a -> b")

    assert key_improvements(One(), Two(), [], [])[0] == "second: a new predictor."
