"""Runs that are killed, interrupted, changed or run twice at once: real processes against the LM server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import pytest

from dspytrack.record.store import Record
from dspytrack.results.values import Row
from tests.support.killed_runs import (
    OPTIMIZERS,
    PATIENCE,
    differences,
    ended,
    lm_at,
    run_killed,
    run_unkilled,
    start,
    wait_for,
    write_config,
)
from tests.support.lm_server import lm_server

pytestmark = pytest.mark.integration


def again(config: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """`dspytrack optimize` to its end."""
    process = start(config, *options)
    out, err = ended(process)
    return subprocess.CompletedProcess([], process.returncode, out, err)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_run_killed_twice_ends_as_one_that_was_not(name: str, tmp_path: Path) -> None:
    with lm_server(delay=0.01) as server:
        whole = run_unkilled(write_config(tmp_path / "whole", server, name), server)
        moments = [whole.billed // 3, 2 * whole.billed // 3]
        killed = run_killed(write_config(tmp_path / "killed", server, name), server, moments)
    assert killed.attempts >= 2
    assert differences(whole, killed) == []
    threads, kills = 4, killed.attempts - 1
    assert whole.billed <= killed.billed <= whole.billed + threads * kills
    assert whole.document["baseline_avg_latency_ms"] is not None
    assert killed.document["baseline_avg_latency_ms"] is not None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_run_closes_in_seconds_and_resumes(number: signal.Signals, tmp_path: Path) -> None:
    with lm_server(delay=0.05) as server:
        config = write_config(tmp_path, server, "bootstrap_random_search")
        process = start(config)
        wait_for(process, server, 20)
        process.send_signal(number)
        out, _ = ended(process, 30)
        assert process.returncode == 130
        assert json.loads(out)["status"] == "interrupted"
        at_end = server.billed
        assert server.settled() == at_end  # no call was abandoned
        resumed = again(config, "--resume")
        assert resumed.returncode == 0, resumed.stderr
        assert server.settled() - 4 <= json.loads(resumed.stdout)["total_lm_calls"] <= server.billed


def test_an_interruption_does_not_wait_for_a_call_that_hangs(tmp_path: Path) -> None:
    with lm_server() as server:
        process = start(write_config(tmp_path, server, "labeled_few_shot", lm=lm_at(server, timeout=600)))
        server.faults = ["hang"] * 50
        until = time.monotonic() + PATIENCE
        while server.held < 4:
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        ended(process, 30)  # the calls would have hung for longer
        assert process.returncode == 130


def test_what_has_changed_since_is_named_and_refused(tmp_path: Path) -> None:
    with lm_server(delay=0.02) as server:
        config = write_config(tmp_path, server, "bootstrap_random_search")
        process = start(config)
        wait_for(process, server, 10)
        process.kill()
        ended(process)
        billed = server.settled()
        changed = again(config, "--resume", "--set", "seed=7")
        assert changed.returncode == 2
        assert "seed was 0, is 7" in changed.stderr
        assert server.settled() == billed
        data = (tmp_path / "data.jsonl").read_text()
        (tmp_path / "data.jsonl").write_text(data.replace("number 3", "number three"))
        assert "the data has changed" in again(config, "--resume").stderr
        assert server.settled() == billed
        afresh = again(config, "--resume", "--allow-changes")
    assert afresh.returncode == 0
    assert "starting a new run" in afresh.stderr


def test_one_record_is_run_by_one_process(tmp_path: Path) -> None:
    with lm_server(delay=0.1) as server:
        config = write_config(tmp_path, server, "bootstrap_random_search", lm=lm_at(server, timeout=600))
        process = start(config)
        wait_for(process, server, 5)
        server.hold()  # the first process stays where it is
        run_id = next((tmp_path / ".dspytrack/runs").iterdir()).name
        second = again(config, "--resume", run_id)
        assert process.poll() is None
        process.kill()
        ended(process)
    assert second.returncode == 2
    assert "running" in second.stderr


def test_torn_and_damaged_lines_are_mended(tmp_path: Path) -> None:
    with lm_server(delay=0.01) as server:
        whole = run_unkilled(write_config(tmp_path / "whole", server, "bootstrap_random_search"), server)
        config = write_config(tmp_path / "torn", server, "bootstrap_random_search")
        before = server.billed
        process = start(config)
        wait_for(process, server, before + 30)
        process.kill()
        ended(process)
        record = next((tmp_path / "torn/.dspytrack/runs").iterdir())
        with (record / "rows/baseline.jsonl").open("a") as file:
            file.write('{"example_id": "torn')
        lines = (record / "responses.jsonl").read_bytes().splitlines(keepends=True)
        lines[3] = lines[3][:20] + b"\xff no JSON\n"
        lines[-1] = lines[-1][:-30]
        (record / "responses.jsonl").write_bytes(b"".join(lines))
        resumed = again(config, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert "responses.jsonl: 1 line" in resumed.stderr
    assert json.loads(resumed.stdout)["statistical_significance"] == whole.document["statistical_significance"]


def test_a_dead_run_is_shown_as_interrupted_with_the_way_on(tmp_path: Path) -> None:
    env = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/m.db", "OPENAI_API_KEY": "a-key-for-loopback"}
    with lm_server(delay=0.05) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", env["MLFLOW_TRACKING_URI"])
        config = write_config(tmp_path, server, "bootstrap_random_search", lm=lm_at(server, timeout=600))
        process = start(config, tracking=True)
        wait_for(process, server, 60)
        server.hold()  # the run stays where it is until the store knows it
        [record] = tmp_path.glob(".dspytrack/runs/*")
        until = time.monotonic() + PATIENCE
        while Record(record).tracking.mlflow_run_id is None:
            assert process.poll() is None and time.monotonic() < until, "the store has no run"
            time.sleep(0.1)
        process.kill()
        server.delay = 0.05
        ended(process)

        def search(*options: str) -> list[dict[str, object]]:
            command = [sys.executable, "-m", "dspytrack", "runs", "search", "--json", *options]
            found = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
            return list(json.loads(found.stdout))

        [local] = search("--local")
        assert "--resume" in str(local["resume"])
        [run] = search()
        assert run["tags"]["status"] == "interrupted"  # type: ignore[index]
        resumed = start(config, "--resume", tracking=True)
        out, err = ended(resumed)
        assert resumed.returncode == 0, err
        [run] = search()
    assert run["status"] == "FINISHED"
    assert json.loads(out)["run_id"] == run["run_id"]


@pytest.mark.parametrize(("phase", "kilobytes"), [("baseline", 48), ("search", 106), ("end", 180)])
def test_a_full_disk_is_a_clear_error_and_costs_nothing_that_was_there(
    phase: str, kilobytes: int, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "none", str(small)], check=False)
    if mounted.returncode != 0:
        pytest.skip("mounting a small disk needs root")
    try:
        with lm_server() as server:
            config = write_config(small, server, "bootstrap_random_search")
            full = again(config)
            assert full.returncode == 6, full.stderr
            assert "--resume" in full.stderr
            assert "Traceback" not in full.stderr
            record = Record(next((small / ".dspytrack/runs").iterdir()))
            whole = [len(record.rows(side)) == 16 for side in ("baseline", "optimized")]
            assert whole == {"baseline": [False, False], "search": [True, False], "end": [True, True]}[phase]
            subprocess.run(["mount", "-o", "remount,size=50m", str(small)], check=True)
            resumed = again(config, "--resume")
        assert resumed.returncode == 0, resumed.stderr
        assert json.loads(resumed.stdout)["verdict"] == "better"
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_second_interruption_leaves_at_once_and_nothing_is_torn(tmp_path: Path) -> None:
    with lm_server(delay=0.05) as server:
        config = write_config(tmp_path, server, "bootstrap_random_search", lm=lm_at(server, timeout=600))
        process = start(config)
        wait_for(process, server, 20)
        server.hold()  # what is in flight does not finish
        until = time.monotonic() + 30
        while process.poll() is None and time.monotonic() < until:
            process.send_signal(signal.SIGINT)
            time.sleep(0.2)
        out, _ = ended(process)
        assert process.returncode == 130
        assert out == ""  # after one alone it waits a little, closes the record and prints the result
        assert not list(tmp_path.glob(".dspytrack/runs/*/result.json"))
        server.delay = 0.0
        resumed = again(config, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout)["verdict"] == "better"


def test_an_interrupted_run_is_killed_in_mlflow_and_goes_on_as_the_same_run(tmp_path: Path) -> None:
    (tmp_path / ".env.mlflow").write_text("MLFLOW_TRACKING_URI=sqlite:///m.db\n")
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/m.db")
    client.search_experiments()  # the store is made before: the run has two seconds for MLflow when it is interrupted
    with lm_server(delay=0.05) as server:
        config = write_config(tmp_path, server, "bootstrap_random_search")
        process = start(config, tracking=True)
        wait_for(process, server, 20)
        process.send_signal(signal.SIGTERM)
        ended(process)
        subprocess.run([sys.executable, "-m", "dspytrack", "runs", "sync"], cwd=tmp_path, check=True)
        [experiment] = [one for one in client.search_experiments() if one.name == "dspy-optimization"]
        [run] = client.search_runs([experiment.experiment_id])
        assert (run.info.status, run.data.tags["status"]) == ("KILLED", "interrupted")
        resumed = start(config, "--resume", tracking=True)
        out, err = ended(resumed)
        assert resumed.returncode == 0, err
        [same] = client.search_runs([experiment.experiment_id])
    assert (same.info.run_id, same.info.status, same.data.tags["status"]) == (run.info.run_id, "FINISHED", "completed")
    assert json.loads(out)["run_id"] == run.info.run_id


def test_a_line_torn_inside_a_character_and_a_line_separator_in_an_answer_are_read(tmp_path: Path) -> None:
    record = Record.create(tmp_path)
    row = Row(example_id="a", score=1.0, output={"label": "one\u2028two"})
    record.append("rows/baseline.jsonl", row)
    with (record.folder / "rows/baseline.jsonl").open("ab") as file:
        file.write('{"example_id": "ü'.encode()[:-1])
    record.repair()
    assert record.rows("baseline") == [row]


def test_stdout_is_the_answer_alone_whatever_a_metric_prints_and_when_a_call_hangs(tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text(
        "print('loading')\n\n\ndef score(example, prediction):\n    print('scored')\n"
        "    return float(example.label == prediction.label)\n"
    )
    with lm_server() as server:
        changes = {"metric": {"import": "loud:score"}, "lm": lm_at(server, timeout=600)}
        config = write_config(tmp_path, server, "bootstrap_random_search", **changes)
        whole = again(config)
        assert json.loads(whole.stdout)["verdict"] == "better"
        before, server.delay = server.billed, 0.05
        process = start(config)
        wait_for(process, server, before + 30)  # in the search
        server.hold()
        process.send_signal(signal.SIGINT)
        out, _ = ended(process, 30)
    assert json.loads(out)["status"] == "interrupted"


def test_the_time_of_a_killed_attempt_is_not_lost(tmp_path: Path) -> None:
    with lm_server(delay=0.1) as server:
        config = write_config(tmp_path, server, "bootstrap_random_search")
        process = start(config)
        wait_for(process, server, 70)
        process.kill()
        ended(process)
        killed_at = time.time()
        record = Record(next((tmp_path / ".dspytrack/runs").iterdir()))
        killed = record.info.attempt
        assert killed is not None
        began = time.monotonic()
        resumed = again(config, "--resume")
        second = time.monotonic() - began
    assert record.info.attempt is not None and record.info.attempts == 2
    took, first = json.loads(resumed.stdout)["duration_seconds"], record.info.attempt.seconds_before
    assert server.asked_at[60] - server.asked_at[0] <= first <= killed_at - killed.began_at
    assert first < took <= first + second  # between two attempts nobody works
