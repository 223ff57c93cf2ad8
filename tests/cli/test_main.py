"""The command line as a script sees it: exit codes, pure JSON on stdout, one sentence on stderr."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dspy
import mlflow
import pytest
import typer

from dspytrack.cli.main import app, main
from dspytrack.programs.package import pack
from dspytrack.record.store import Record
from dspytrack.results.catalogue import METRIC_NAMES
from tests.support.killed_runs import write_config
from tests.support.lm_server import LMServer, lm_server

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def server() -> object:
    """One LM server for all."""
    with lm_server() as found:
        yield found


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command line in this process: exit code, stdout, stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["dspytrack", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        seen = capsys.readouterr()
        return int(left.value.code or 0), seen.out, seen.err

    return run


@pytest.fixture
def folder(tmp_path: Path, server: LMServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a config, data and an embedded store; the current one."""
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-for-loopback")
    monkeypatch.chdir(tmp_path)
    write_config(tmp_path, server, "labeled_few_shot")
    (tmp_path / ".env.mlflow").write_text("MLFLOW_TRACKING_URI=sqlite:///mlflow.db\n")
    return tmp_path


@pytest.mark.integration
def test_from_a_config_to_a_prediction(folder: Path, command: Command) -> None:
    code, out, _ = command("optimize", "config.yaml", "--json")
    result = json.loads(out)
    assert code == 0
    assert result["verdict"] == "better"
    assert set(METRIC_NAMES) <= set(result)
    assert {"run_id", "record", "status"} <= set(result)

    code, out, err = command("optimize", "config.yaml", "--set", "seed=1")
    assert code == 0
    assert "baseline: 16 examples" in err
    assert "next: dspytrack runs show" in out
    assert "\x1b" not in out

    runs = json.loads(command("runs", "search", "--json")[1])
    assert len(runs) == 2
    assert set(runs[0]) == {"run_id", "record_id", "run_name", "status", "metrics", "params", "tags"}
    best = json.loads(command("runs", "best", "--format", "json")[1])
    assert best["run_id"] in {run["run_id"] for run in runs}
    assert command("runs", "best", "--format", "id")[1].strip() == best["run_id"]
    rows = list(csv.DictReader(io.StringIO(command("runs", "search", "--format", "csv")[1])))
    assert {row["run_id"] for row in rows} == {run["run_id"] for run in runs}
    assert command("runs", "search", "--format", "md")[1].startswith("| run_id |")
    assert len(json.loads(command("runs", "search", "--max-results", "1", "--json")[1])) == 1
    assert json.loads(command("runs", "search", "--filter", "metrics.iterations > 99", "--json")[1]) == []
    assert "better" in command("runs", "show", "best")[1]
    assert 0 < max(len(line) for line in command("runs", "search")[1].splitlines()) <= 80

    code, _, err = command("runs", "best", "--metric", "improvement_percentag")
    assert (code, err.count("\n")) == (2, 1)
    assert "improvement_percentage" in err
    assert command("runs", "best", "--filter", "metrics.improvement_percentage > 90")[0] == 1
    assert command("runs", "search", "--filter", "what is this")[0] == 2
    assert command("runs", "show", "nothing")[0] == 2

    assert command("model", "pull", "best", "-o", "model")[0] == 0
    (folder / "rows.jsonl").write_text('{"text": "The awful thing number 1."}\n{"txt": 3}\n')
    code, out, err = command("model", "predict", "model", "--input", "rows.jsonl")
    assert (code, "1 of 2 rows failed" in err) == (1, True)
    found = [json.loads(line) for line in out.splitlines()]
    assert found[0] == {"label": "negative"}
    assert "text" in found[1]["error"]
    code, _, err = command("model", "pull", "best", "-o", "model")
    assert (code, "not empty" in err) == (2, True)


@pytest.mark.parametrize(
    "arguments", [("runs", "search"), ("runs", "best"), ("runs", "show", "x"), ("model", "pull", "best", "-o", "model")]
)
@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("sqlite:///mlflow.db", "no such file; the first `dspytrack optimize` with this address makes it"),
        ("sqlite:////nonexistent/of/ours/x.db", "there is no folder /nonexistent/of/ours"),
    ],
)
def test_what_reads_a_store_that_is_not_there_says_so_and_makes_none(
    folder: Path, command: Command, arguments: tuple[str, ...], address: str, says: str
) -> None:
    (folder / ".env.mlflow").write_text(f"MLFLOW_TRACKING_URI={address}\n")
    code, out, err = command(*arguments)
    assert (code, out, err.count("\n")) == (6, "", 1)
    assert err.endswith(f": {says}\n")
    assert not (folder / "mlflow.db").exists() and not Path("/nonexistent").exists()


def test_rows_that_are_no_text_are_a_mistake_like_any_other(folder: Path, command: Command) -> None:
    lm = {"model": "openai/gpt-4o-mini"}
    spec = {"program": {"signature": "text -> label"}, "lm": lm, "inputs": ["text"]}
    pack(dspy.Predict("text -> label"), folder / "model", "optimized_model", {}, spec)
    (folder / "rows.jsonl").write_bytes(b'{"text": "caf\xe9"}\n')
    code, out, err = command("model", "predict", "model", "--input", "rows.jsonl")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: the rows are not UTF-8")


@pytest.mark.parametrize("dry_run", [("--dry-run",), ()])
@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("MLFLOW_TRACKING_URI=foo", "MLFLOW_TRACKING_URI: expected an address"),
        ("MLFLOW_TRACKING_URI=sqlite:////nonexistent/x.db", "there is no folder /nonexistent"),
        ("MLFLOW_TRACKING_URI=sqlite:////dev", "/dev cannot be written"),
        (None, "nosuch.env: no such file"),
    ],
)
def test_a_bad_tracking_address_is_told_before_anything_is_spent(
    folder: Path, server: LMServer, command: Command, dry_run: tuple[str, ...], setting: str | None, says: str
) -> None:
    before = server.billed
    if setting is not None:
        (folder / "nosuch.env").write_text(setting + "\n")
    code, out, err = command("optimize", "config.yaml", *dry_run, "--env-file", "nosuch.env")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert says in err
    assert server.billed == before
    assert not (folder / ".dspytrack").exists()
    assert command("optimize", "config.yaml", "--dry-run", "--no-tracking", "--env-file", "nosuch.env")[0] == 0


@pytest.mark.integration
def test_the_lines_for_ci_pull_the_run_they_checked_and_no_other(folder: Path, command: Command) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8").split("## In CI")[1]
    lines = [line.strip() for line in readme.split("| exit code |")[0].splitlines() if line.startswith("    ")]
    earlier = json.loads(command("optimize", "config.yaml", "--set", "seed=1", "--json")[1])["run_id"]
    mlflow.MlflowClient("sqlite:///mlflow.db").log_metric(earlier, "improvement_percentage", 9)  # the best run ever
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", "\n".join(lines)], cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    run_id = json.loads((folder / "result.json").read_text())["run_id"]
    assert run_id in (folder / "model" / "README.md").read_text()


@pytest.mark.integration
def test_a_run_is_named_by_its_own_id_or_mlflows_in_every_command_and_from_another_machine(
    folder: Path, command: Command
) -> None:
    result = json.loads(command("optimize", "config.yaml", "--json")[1])
    [record] = [path.name for path in (folder / ".dspytrack/runs").iterdir()]
    assert (result["record_id"], result["run_id"]) == (record, result["mlflow_run_id"])
    ids = (record, result["run_id"])
    for one in ids:
        assert json.loads(command("runs", "sync", one, "--json")[1]) == [{"record": record, "run_id": result["run_id"]}]
        code, _, err = command("optimize", "config.yaml", "--resume", "--run", one)
        assert (code, f"{record} is completed; there is nothing to resume" in err) == (2, True)
    for place in ("here", "elsewhere"):
        for index, one in enumerate(ids):
            shown = json.loads(command("runs", "show", one, "--json")[1])
            assert (shown["run_id"], shown["record_id"]) == (result["run_id"], record)
            pulled = json.loads(command("model", "pull", one, "-o", f"model-{place}-{index}", "--json")[1])
            assert pulled["run_id"] == result["run_id"]
        shutil.rmtree(folder / ".dspytrack", ignore_errors=True)
    code, _, err = command("runs", "show", "20260101-000000-abcdef")
    assert (code, err.count("\n")) == (2, 1)


@pytest.mark.integration
def test_a_record_that_is_not_in_mlflow_yet_is_shown_and_its_model_says_how_to_send_it(
    folder: Path, command: Command
) -> None:
    result = json.loads(command("optimize", "config.yaml", "--no-tracking", "--json")[1])
    record = result["record_id"]
    assert (result["run_id"], result["mlflow_run_id"]) == (record, None)
    shown = json.loads(command("runs", "show", record, "--json")[1])
    assert (shown["run_id"], shown["record_id"], shown["mlflow_run_id"]) == (record, record, None)
    mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments()
    code, _, err = command("model", "pull", record, "-o", "model")
    assert (code, err.count("\n")) == (2, 1)
    assert err.endswith(f"is not in sqlite:///{folder}/mlflow.db yet; send it with: dspytrack runs sync {record}\n")
    assert command("runs", "sync", record)[0] == 0
    assert command("model", "pull", record, "-o", "model")[0] == 0


@pytest.mark.integration
def test_a_run_that_failed_says_how_to_go_on_and_has_no_model(folder: Path, command: Command) -> None:
    gone = ("--set", "lm.api_base=http://127.0.0.1:9/v1", "--set", "evaluation.max_consecutive_failures=5")
    code, out, _ = command("optimize", "config.yaml", *gone)
    [record] = [path.name for path in (folder / ".dspytrack/runs").iterdir()]
    goes_on = f"dspytrack optimize {folder / 'config.yaml'} --resume --run {record}"
    assert code == 6
    assert f"next: {goes_on}\n      dspytrack runs show " in out
    assert "model pull" not in out
    [run] = json.loads(command("runs", "search", "--json")[1])
    assert run["status"] == "FAILED"
    assert f"next: {goes_on}" in command("runs", "show", run["run_id"])[1]
    code, _, err = command("model", "pull", run["run_id"], "-o", "model")
    assert (code, err.count("\n")) == (1, 1)
    assert err.startswith("error: this run has no model")
    code, _, err = command("runs", "best")
    assert (code, err.count("\n")) == (1, 1)
    assert err.startswith("error: no finished run has improvement_percentage, in the experiment dspy-optimization at ")
    code, out, _ = command("optimize", "config.yaml", *gone, "--no-tracking")
    assert f"next: dspytrack optimize {folder / 'config.yaml'} --resume" in out
    assert "model predict" not in out


@pytest.mark.integration
def test_a_run_in_another_experiment_is_found_by_what_the_run_says(folder: Path, command: Command) -> None:
    code, out, _ = command("optimize", "config.yaml", "--set", "tracking.experiment_name=the other")
    assert code == 0
    assert "dspytrack runs search --experiment 'the other'\n" in out
    code, out, _ = command("runs", "search")
    assert (code, out.count("\n")) == (0, 1)
    assert out.startswith("no runs in the experiment dspy-optimization at sqlite:///")
    there = ("--experiment", "the other")
    [run] = json.loads(command("runs", "search", *there, "--json")[1])
    assert run["run_id"] in command("runs", "show", "best", "--significant", *there)[1]
    assert command("model", "pull", "best", "-o", "model", "--significant", *there)[0] == 0
    code, out, _ = command("runs", "search", *there, "--filter", "metrics.iterations > 99")
    assert (code, "no runs that fit in the experiment the other at" in out) == (0, True)
    for words in (("runs", "search"), ("runs", "best"), ("runs", "show", "best"), ("model", "pull", "best", "-o", "m")):
        code, out, err = command(*words, "--experiment", "the othr")
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert "has no experiment `the othr`. Did you mean `the other`?" in err
    code, _, err = command("model", "pull", run["run_id"], "-o", "m", "--significant")
    assert (code, "goes with `best`" in err) == (2, True)


@pytest.mark.integration
def test_a_run_that_is_not_tracked_says_what_to_type_next_and_is_shown_from_its_record(
    folder: Path, command: Command
) -> None:
    code, out, _ = command("optimize", "config.yaml", "--no-tracking", "--set", "target.id=router[/]")
    assert code == 0
    assert " (95 % interval)\n" in out
    [record] = (Path(".dspytrack/runs")).iterdir()
    predict = f"dspytrack model predict {record}/artifacts/models --input rows.jsonl"
    assert f"next: dspytrack runs show {record.name}\n      {predict}\n" in out
    code, out, err = command("runs", "show", record.name)
    assert code == 0, err
    assert out.startswith("opt_agent_router[/]_") and "better: " in out
    assert out.endswith(f"next: {predict}\n")
    shown = json.loads(command("runs", "show", record.name, "--json")[1])
    assert (shown["tags"]["verdict"], shown["params"]["target.id"]) == ("better", "router[/]")
    (folder / "rows.jsonl").write_text('{"text": "The awful thing number 1."}\n')
    assert json.loads(command(*predict.split()[1:])[1]) == {"label": "negative"}
    assert command("runs", "sync", record.name)[0] == 0
    assert json.loads(command("runs", "show", record.name, "--json")[1])["status"] == "FINISHED"
    assert f"{record.name}" in command("runs", "search", "--local")[1]


@pytest.mark.integration
def test_a_budget_reached_before_the_comparison_says_which_cap_to_raise(folder: Path, command: Command) -> None:
    caps = ("--set", "constraints.max_tokens=1500")
    code, out, _ = command("optimize", "config.yaml", "--no-tracking", *caps)
    [record] = (folder / ".dspytrack/runs").iterdir()
    goes_on = (
        f"dspytrack optimize {folder / 'config.yaml'} --resume --run {record.name} --set constraints.max_tokens=3000"
    )
    assert (code, f"next: {goes_on}\n" in out) == (5, True)
    assert f"budget reached: {goes_on}\n" in command("runs", "search", "--local")[1]
    assert command("optimize", "config.yaml", "--no-tracking", *caps, "--resume", record.name)[0] == 2
    words = goes_on.replace("=3000", "=100000").split()[1:]
    code, out, _ = command(*words, "--no-tracking")
    assert (code, "better: " in out) == (0, True)


@pytest.mark.integration
def test_a_run_whose_answers_are_all_without_form_fails_with_its_error_and_not_as_unreachable(
    folder: Path, command: Command
) -> None:
    with lm_server(lambda body: "no format at all") as odd:
        address = f"lm.api_base={odd.api_base}"
        code, out, _ = command("optimize", "config.yaml", "--no-tracking", "--set", address)
        assert code == 1
        said = "failed: all 16 examples of the baseline failed, 16 of them with AdapterParseError, the first: Adapter"
        assert said in " ".join(out.split())
        [record] = [path.name for path in (folder / ".dspytrack/runs").iterdir()]
        assert f"next: dspytrack optimize {folder / 'config.yaml'} --resume --run {record}" in out
        assert " is unknown:" not in out
        code, out, err = command("optimize", "config.yaml", "--no-tracking", "--json", "--resume", "--set", address)
        assert (code, json.loads(out)["status"], json.loads(out)["unreachable"]) == (1, "failed", False), err


def test_best_of_nothing_is_exit_1_and_search_of_nothing_an_empty_list(folder: Path, command: Command) -> None:
    mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments()
    assert json.loads(command("runs", "search", "--json")[1]) == []
    assert json.loads(command("runs", "search", "--local", "--json")[1]) == []
    code, out, err = command("runs", "best")
    assert (code, out) == (1, "")
    assert err.startswith("error: no finished run")


def test_a_torn_record_is_a_line_on_stderr_and_the_others_are_listed(folder: Path, command: Command) -> None:
    whole, torn = Record.create(), Record.create()
    for record in (whole, torn):
        record.update_info(run_name="a run", started_at=1.0)
    (torn.folder / "result.json").write_text('{"status": "comp')
    code, out, err = command("runs", "search", "--local", "--json")
    assert (code, [run["run_id"] for run in json.loads(out)]) == (0, [whole.run_id])
    assert (err.count("\n"), f"{torn.run_id}/result.json cannot be read" in err) == (1, True)
    assert command("runs", "sync")[0] == 0
    code, _, err = command("runs", "show", torn.run_id)
    assert (code, err.count("\n")) == (1, 1)


def test_a_mistake_is_one_sentence_and_a_traceback_only_on_demand(folder: Path, command: Command) -> None:
    code, out, err = command("optimize", "config.yaml", "--set", "optimizer.name=mipro")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "config.yaml" in err
    assert "miprov2" in err
    code, out, err = command("optimize", "config.yaml", "--set", "lm.model=gpt-17")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert command("optimize", "nothing.yaml")[0] == 2
    assert command("optimise", "config.yaml")[0] == 2
    assert not (folder / ".dspytrack").exists()
    code, out, err = command("--debug", "optimize", "nothing.yaml")
    assert (code, out) == (2, "")
    assert err.startswith("Traceback (most recent call last)")
    assert err.splitlines()[-1].startswith("error: nothing.yaml: no such file")


@pytest.mark.parametrize("debug", [(), ("--debug",)])
def test_a_traceback_shows_no_secret_and_changes_no_exit_code(
    folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch, debug: tuple[str, ...]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-that-nobody-may-read")
    (folder / "telling.py").write_text(
        "import os\n\n\ndef score(example, prediction):\n    raise ValueError('with ' + os.environ['OPENAI_API_KEY'])\n"
    )
    code, out, err = command(*debug, "optimize", "config.yaml", "--set", "metric={import: 'telling:score'}")
    assert (code, out) == (2, "")
    assert "ValueError: with ***" in err
    assert "nobody-may-read" not in err
    assert ("Traceback" in err) is bool(debug)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--probe", "2"), "error: --probe is for --dry-run; without it the whole run would start\n"),
        (("--dry-run", "--resume"), "error: --resume continues a run, --dry-run starts none; give one of them\n"),
        (("--allow-changes",), "error: --allow-changes is for --resume\n"),
        (("--dry-run", "--allow-changes"), "error: --allow-changes is for --resume\n"),
    ],
)
def test_an_option_without_the_one_it_goes_with_starts_no_run(
    folder: Path, server: LMServer, command: Command, options: tuple[str, ...], says: str
) -> None:
    before = server.billed
    assert command("optimize", "config.yaml", *options) == (2, "", says)
    assert server.billed == before
    assert not (folder / ".dspytrack").exists()


def test_a_dry_run_calls_nothing_and_leaves_nothing(folder: Path, server: LMServer, command: Command) -> None:
    before = server.billed
    code, out, _ = command("optimize", "config.yaml", "--dry-run", "--json")
    plan = json.loads(out)
    assert code == 0
    assert plan["phases"][0]["lm_calls"] == [16, 16]
    assert [one["phase"] for one in plan["phases"]] == ["baseline", "optimization: labeled_few_shot", "optimized"]
    assert server.billed == before
    assert not (folder / ".dspytrack").exists()


def test_a_probe_runs_a_few_examples_and_estimates_the_rest(folder: Path, server: LMServer, command: Command) -> None:
    before = server.billed
    code, out, _ = command("optimize", "config.yaml", "--dry-run", "--probe", "2", "--json")
    plan = json.loads(out)
    assert (code, server.billed - before, plan["probe"]["billed"]) == (0, 2, 2)
    [least, most] = plan["phases"][0]["tokens"]
    assert least == most == 16 * plan["probe"]["tokens"] > 0
    assert plan["phases"][0]["cost_usd"][0] > 0


def test_a_folder_that_cannot_be_written(folder: Path, command: Command) -> None:
    (folder / ".dspytrack").write_text("a file in the way")
    code, _, err = command("optimize", "config.yaml")
    assert (code, err.count("\n")) == (2, 1)
    assert ".dspytrack" in err


def test_the_schema_is_json(command: Command) -> None:
    code, out, _ = command("schema")
    assert (code, json.loads(out)["title"]) == (0, "OptimizationRequest")


def test_help_imports_neither_dspy_nor_mlflow() -> None:
    code = (
        "import sys\nfrom dspytrack.cli.main import app\nfrom typer.testing import CliRunner\n"
        "import dspytrack\nassert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "print(sorted({'dspy', 'mlflow', 'pydantic', 'rich.table'} & set(sys.modules)))\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "dspy'" not in found.stdout
    assert "mlflow" not in found.stdout


def test_code_of_the_user_that_ends_the_process_is_no_success(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leaving(*_: object) -> None:
        sys.exit(0)

    monkeypatch.setattr("dspytrack.config.loader.load_request", leaving)
    code, out, err = command("optimize", "config.yaml", "--dry-run")
    assert (code, out) == (1, "")
    assert "code of yours called sys.exit(0)" in err


@pytest.mark.integration
@pytest.mark.parametrize("arguments", [("runs", "sync"), ("runs", "search"), ("runs", "search", "--local")])
def test_what_only_looks_at_runs_does_not_import_dspy(folder: Path, arguments: tuple[str, ...]) -> None:
    mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments()
    code = (
        "import sys\nfrom dspytrack.cli.main import app\nfrom typer.testing import CliRunner\n"
        "assert CliRunner().invoke(app, sys.argv[1:]).exit_code == 0\nprint('dspy' in sys.modules)\n"
    )
    found = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"


def test_every_command_takes_json_but_those_that_the_readme_names() -> None:
    def leaves(command: Any, name: str) -> Iterator[tuple[str, Any]]:
        inner = getattr(command, "commands", None)
        if inner is None:
            yield name, command
        for word, one in (inner or {}).items():
            yield from leaves(one, f"{name} {word}".strip())

    found = {name for name, one in leaves(typer.main.get_command(app), "") if "--json" not in _options(one)}
    assert found == {"schema", "model predict", "server logs", "server manifests"}
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in readme for name in found)


def _options(command: Any) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts}


@pytest.mark.parametrize("reader", ["head -c 1 > /dev/null", "true"])  # `true` has left before anything is printed
@pytest.mark.parametrize("arguments", ["--help", "schema"])
def test_a_reader_that_leaves_early_is_no_error_to_speak_of(arguments: str, reader: str) -> None:
    piped = f"{sys.executable} -m dspytrack {arguments} | {reader}"
    found = subprocess.run(["sh", "-c", piped], capture_output=True, text=True, check=True)
    assert found.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("config.yaml", "x", "--resume"), "no record of a run x"),
        (("config.yaml", "--resume", "x"), "no record of a run x"),
        (("--resume", "x", "config.yaml"), "no record of a run x"),
        (("config.yaml", "--resume", "--run", "x"), "no record of a run x"),
        (("--resume", "config.yaml"), "no unfinished run of"),
        (("config.yaml", "--run", "x"), "--run goes with --resume"),
        (("config.yaml", "x"), "unexpected argument x; to resume that run: --resume --run x"),
        (("config.yaml", "--resume", "x", "--run", "y"), "two runs to resume, x and y; give one"),
    ],
)
def test_the_run_to_resume_is_named_by_an_option_or_behind_resume(
    command: Command, folder: Path, arguments: tuple[str, ...], said: str
) -> None:
    code, out, err = command("optimize", "--no-tracking", *arguments)
    assert (code in (1, 2), out, said in err) == (True, "", True), err
