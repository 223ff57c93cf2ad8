"""Stdout is the answer alone, and how a prediction that fails shows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import dspy
import pytest
from typer.testing import CliRunner

from dspytrack.cli.main import app
from dspytrack.programs.outputs import plain
from dspytrack.programs.package import pack
from tests.support.killed_runs import write_config
from tests.support.lm_server import lm_server

LOUD = """\
import os
import sys

os.system("echo loaded")


def score(example, prediction):
    os.system("echo scored")
    os.write(1, b"written\\n")
    print("printed")
    return float(example.label == prediction.label)
"""
PROGRAM = """\
import os

import dspy
from pydantic import BaseModel
from datetime import date


class Answer(BaseModel):
    day: date
    text: str


class Loud(dspy.Module):
    def __init__(self):
        super().__init__()
        self.inner = dspy.Predict("text -> label")

    def forward(self, text):
        print("printed")
        os.system("echo from below")
        if text == "bad":
            raise ValueError("no such thing")
        found = self.inner(text=text)
        return dspy.Prediction(label=found.label, answer=Answer(day=date(2026, 1, 2), text=text), share=float("nan"))
"""


def dspytrack(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, its stdout a pipe."""
    return subprocess.run(
        [sys.executable, "-m", "dspytrack", *arguments],
        cwd=folder,
        env=os.environ | {"OPENAI_API_KEY": "a-key-for-loopback", "DSPY_CACHEDIR": str(folder / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.integration
def test_what_is_written_below_python_goes_to_stderr(tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text(LOUD)
    with lm_server() as server:
        write_config(tmp_path, server, "bootstrap_random_search", metric={"import": "loud:score"})
        done = dspytrack(tmp_path, "optimize", "config.yaml", "--json", "--no-tracking")
        planned = dspytrack(tmp_path, "optimize", "config.yaml", "--json", "--dry-run")
    assert json.loads(done.stdout)["verdict"] == "better", done.stderr
    assert "scored" in done.stderr
    assert json.loads(planned.stdout)["examples"]["test"] == 16


def test_stdout_is_given_back_to_whoever_runs_the_command_in_a_process(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.yaml").write_text("{}")
    assert CliRunner().invoke(app, ["optimize", str(tmp_path / "config.yaml"), "--dry-run"]).exit_code != 0
    os.system("echo after")
    print("printed", flush=True)
    assert capfd.readouterr().out == "after\nprinted\n"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The folder of a packed program that prints, with the one for its LM yet to be said."""
    (tmp_path / "loud_program.py").write_text(PROGRAM)
    return tmp_path / "model"


def packed(folder: Path, api_base: str) -> None:
    """The program in a folder, its LM at an address."""
    lm = {"model": "openai/gpt-4o-mini", "api_base": api_base, "num_retries": 0}
    spec = {"program": {"import": "loud_program:Loud"}, "lm": lm, "inputs": ["text"]}

    class Bare(dspy.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner = dspy.Predict("text -> label")

    pack(Bare(), folder, "optimized_model", {}, spec)


@pytest.mark.integration
def test_a_prediction_is_json_lines_alone_and_rows_that_fail_are_counted(model: Path) -> None:
    rows = model.parent / "rows.jsonl"
    with lm_server() as server:
        packed(model, server.api_base)
        rows.write_text('{"text": "The awful thing."}\n')
        done = dspytrack(model.parent, "model", "predict", "model", "--input", "rows.jsonl")
        assert (done.returncode, "failed" in done.stderr) == (0, False), done.stderr
        answer = {"day": "2026-01-02", "text": "The awful thing."}
        assert json.loads(done.stdout) == {"label": "positive", "answer": answer, "share": None}
        server.faults = ["", 500]
        rows.write_text('{"text": "good"}\n{"text": "worse"}\n{"text": "bad"}\n{"txt": 1}\n')
        done = dspytrack(model.parent, "model", "predict", "model", "--input", "rows.jsonl")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert ["error" in one for one in found] == [False, True, True, True]
    assert found[2]["error"] == "ValueError: no such thing"
    assert done.returncode == 1
    assert "3 of 4 rows failed, 1 of them at the LM" in done.stderr


@pytest.mark.integration
def test_a_dead_lm_is_exit_6(model: Path) -> None:
    packed(model, "http://127.0.0.1:9/v1")
    (model.parent / "rows.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n')
    done = dspytrack(model.parent, "model", "predict", "model", "--input", "rows.jsonl")
    assert done.returncode == 6
    assert len(done.stdout.splitlines()) == 2
    assert "2 of 2 rows failed, 2 of them at the LM" in done.stderr


def test_a_nested_example_is_plain_data() -> None:
    found = plain(dspy.Prediction(inner=dspy.Example(a=1), many=[float("inf"), 2], one=object))
    assert (found["inner"], found["many"]) == ({"a": 1}, [None, 2])
    json.dumps(found, allow_nan=False)
