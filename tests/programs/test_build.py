"""Programs, judges and contests of optimizers in whole runs: every kind that a config file can name."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from dspytrack.config.loader import load_request
from dspytrack.pipeline import OptimizationPipeline
from dspytrack.programs.package import load
from dspytrack.record.store import Record
from dspytrack.results.values import OptimizationResult
from tests.support.lm_server import LMServer, classify, formed, lm_server, wanted
from tests.support.requests import request, rows

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-for-loopback")


def run(server: LMServer, folder: Path, **changes: Any) -> OptimizationResult:
    """A whole run with some of its request changed."""
    pipeline = OptimizationPipeline(enable_tracking=False, runs_dir=folder / "runs")
    return pipeline.run(request(server.api_base, folder, **changes), training_data=rows(60))


def test_of_several_optimizers_the_best_by_validation_score_is_tested_once(tmp_path: Path) -> None:
    contest = [
        {"name": "copro", "params": {"breadth": 2, "depth": 1}},
        {"name": "labeled_few_shot", "params": {"k": 4}},
    ]
    with lm_server() as server:
        result = run(server, tmp_path, optimizer=contest)
    assert (result.optimizer, result.verdict) == ("labeled_few_shot", "better")
    assert {candidate.optimizer for candidate in result.candidates} == {"copro"}
    items = json.loads(Path(result.record, "splits.json").read_text())["test"]
    assert sorted(row.example_id for row in Record(Path(result.record)).rows("optimized")) == sorted(items)


def test_no_optimizer_sees_the_test_split(tmp_path: Path) -> None:
    data = rows(60)
    with lm_server() as server:
        optimizer = {"name": "miprov2", "params": {"num_candidates": 2, "num_trials": 2, "max_labeled_demos": 2}}
        result = run(server, tmp_path, optimizer=optimizer)
        seen = [json.dumps(body["messages"]) for body in server.requests]
    parts = json.loads(Path(result.record, "artifacts/training_data.json").read_text())
    shown = {item["text"] for item in parts}
    sealed = [row["text"] for row in data if row["text"] not in shown]
    assert len(sealed) == 24
    for text in sealed:  # asked about once by the baseline and once by the result, and nowhere else
        assert sum(f"{text}\\n" in body or f'{text}"' in body for body in seen) == 2


def test_an_llm_judge_scores_with_its_own_lm_at_its_own_cost(tmp_path: Path) -> None:
    def answer(body: dict[str, Any]) -> str:
        asked = str(body["messages"][-1]["content"])
        if "score" not in wanted(asked):
            return classify(body)
        expected, *_, given = re.findall(r"'label': '(\w+)'", asked)
        return formed({"score": "1.0" if expected == given else "0.0", "feedback": "so it is"}, asked)

    with lm_server(answer) as server:
        judge = {"model": "openai/gpt-4o", "api_base": server.api_base}
        metric = {"name": "llm_judge", "rubric": "The label is right.", "lm": judge}
        result = run(server, tmp_path, metric=metric)
    assert result.verdict == "better"
    assert result.usage["judge"].calls > 0
    row = Record(Path(result.record)).rows("optimized")[0]
    assert (row.feedback, row.lm_calls) == ("so it is", 1)  # the judge's calls are not the example's
    comparison = result.comparison
    assert comparison is not None and comparison.baseline.avg_cost is not None
    judged = result.usage["judge"].cost_usd
    assert judged is not None and judged > comparison.baseline.avg_cost * 24


def test_a_chain_of_thought_and_an_agent_with_tools(tmp_path: Path) -> None:
    (tmp_path / "toolbox.py").write_text(
        'def look(text: str) -> str:\n    """Looks at a text."""\n'
        '    return "negative" if "bad" in text else "positive"\n'
    )

    def agent(body: dict[str, Any]) -> str:
        asked = str(body["messages"][-1]["content"])
        if "next_tool_name" not in wanted(asked):
            values = {"reasoning": "so it seems", "label": "negative" if "Observation" in asked else "positive"}
            return formed({name: values.get(name, "positive") for name in wanted(asked)}, asked)
        looked = "observation_0" in asked
        arguments = {} if looked else {"text": "bad"}
        values = {"next_thought": "I look.", "next_tool_name": "finish" if looked else "look"}
        return formed(values | {"next_tool_args": json.dumps(arguments)}, asked)

    with lm_server(agent) as server:
        program = {
            "signature": "text -> label",
            "module": "react",
            "tools": ["toolbox:look"],
            "params": {"max_iters": 3},
        }
        result = run(server, tmp_path, program=program)
        assert result.status == "completed", result.error
        rows_made = Record(Path(result.record)).rows("baseline")
        assert {row.lm_calls for row in rows_made} == {3}
        assert all(row.error is None for row in rows_made)
        thinking = run(server, tmp_path, program={"signature": "text -> label", "module": "chain_of_thought"})
        assert thinking.status == "completed"
        kept = Record(Path(thinking.record)).rows("baseline")[0].output
        assert kept is not None and kept["reasoning"] == "so it seems"


def test_two_folders_run_in_one_process_each_with_its_own_program(tmp_path: Path) -> None:
    words = {}
    with lm_server() as server:
        for name in ("first", "second", "first"):
            folder = tmp_path / name
            folder.mkdir(exist_ok=True)
            (folder / "wording.py").write_text(f"WORD = 'the {name} word'\n")
            (folder / "program.py").write_text(
                "import dspy\nfrom wording import WORD\n\n\ndef make():\n"
                "    return dspy.Predict(dspy.Signature('text -> label', WORD))\n\n\n"
                "def score(example, prediction):\n    return example.label == prediction.label\n"
            )
            server.requests.clear()
            metric = {"import": "program:score"}
            result = run(server, folder, program={"import": "program:make"}, metric=metric)
            assert result.status == "completed", result.error
            asked = json.dumps(server.requests)
            words[name] = {word for word in ("first", "second") if f"the {word} word" in asked}
            sources = Record(Path(result.record)).info.fingerprint.sources
            assert set(sources) == {"program.py", "wording.py"}
    assert words == {"first": {"first"}, "second": {"second"}}


def test_the_config_in_the_artifacts_runs_again_and_the_model_loads(tmp_path: Path) -> None:
    with lm_server() as server:
        result = run(server, tmp_path)
    artifacts = Path(result.record) / "artifacts"
    again = load_request(artifacts / "config.yaml")
    assert again.optimizer[0].name == "labeled_few_shot"
    assert len(load(artifacts / "models").predictors()[0].demos) == 4
