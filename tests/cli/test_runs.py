"""`dspytrack runs`: what a shell completes, and the choices of an option."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from dspytrack.cli.main import app
from dspytrack.cli.runs import complete_columns, complete_metric

_MAIN = "import sys; sys.argv = ['dspytrack']; from dspytrack.cli.main import main; "


def test_a_metric_is_completed_with_what_it_means() -> None:
    names = dict(complete_metric("optimized_success"))
    assert names == {
        "optimized_success_rate": "share of test examples whose score reaches success_threshold (the optimized program)"
    }
    assert complete_metric("nothing") == []


def test_of_several_columns_the_last_one_is_completed() -> None:
    assert [name for name, _ in complete_columns("iterations,imp")] == ["iterations,improvement_percentage"]
    assert [name for name, _ in complete_columns("imp")] == ["improvement_percentage"]


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("dspytrack runs best --metric impr", "improvement_percentage"),
        ("dspytrack runs search --columns iterations,impr", "iterations,improvement_percentage"),
    ],
)
def test_a_shell_gets_the_completion_without_a_heavy_import(typed: str, completed: str) -> None:
    words = {"_DSPYTRACK_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
    heavy = "import atexit; heavy = {'dspy', 'mlflow'}; "
    code = f"{heavy}atexit.register(lambda: print(heavy & set(sys.modules), file=sys.stderr)); "
    done = subprocess.run(
        [sys.executable, "-c", f"{_MAIN}{code}main()"], env=os.environ | words, capture_output=True, text=True
    )
    assert (done.stdout.split(), done.stderr.strip()) == ([completed], "set()")


@pytest.mark.parametrize(
    ("arguments", "choices"),
    [
        (["best", "--format", "tabel"], "'table', 'json', 'csv', 'md', 'id'"),
        (["search", "--format", "id"], "'table', 'json', 'csv', 'md'"),
        (["best", "--order", "down"], "'desc', 'asc'"),
    ],
)
def test_a_choice_that_is_none_is_a_mistake_that_names_the_choices(arguments: list[str], choices: str) -> None:
    done = CliRunner().invoke(app, ["runs", *arguments])
    assert done.exit_code == 2
    assert choices in " ".join(done.output.replace("│", "").split())
