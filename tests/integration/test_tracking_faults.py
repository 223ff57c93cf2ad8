"""A tracking server that is gone, hangs, answers 500, is slow, or dies: the run still ends, and sync sends it."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest

from tests.support.killed_runs import PATIENCE, ended, start, wait_for, write_config
from tests.support.lm_server import LMServer, lm_server
from tests.support.ports import free_port
from tests.support.tracking_server import Gate, TrackingServer, gate, storm, tracking_server

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrackingServer]:
    """A real MLflow server for the file."""
    with tracking_server(tmp_path_factory.mktemp("server")) as found:
        yield found


@pytest.fixture(scope="module")
def lm() -> Iterator[LMServer]:
    """One LM server for the file."""
    with lm_server() as found:
        yield found


def at(folder: Path, lm: LMServer, address: str, optimizer: str = "labeled_few_shot") -> Path:
    """A config whose runs go to an address, to an experiment of their own."""
    config = write_config(folder, lm, optimizer)
    settings = f"MLFLOW_TRACKING_URI={address}\nMLFLOW_EXPERIMENT_NAME={folder.name}\n"
    (folder / ".env.mlflow").write_text(settings, encoding="utf-8")
    return config


def runs_command(folder: Path, *arguments: str) -> Any:
    """The JSON answer of `dspytrack runs …` in a folder."""
    command = [sys.executable, "-m", "dspytrack", "runs", *arguments, "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def in_mlflow(server: TrackingServer, experiment: str) -> list[mlflow.entities.Run]:
    """Every run of an experiment, read by plain MLflow."""
    client = mlflow.MlflowClient(server.address)
    found = client.get_experiment_by_name(experiment)
    return [] if found is None else list(client.search_runs([found.experiment_id], max_results=1000))


def is_whole(server: TrackingServer, run: mlflow.entities.Run, record: Path) -> None:
    """See that a run in MLflow is what its record says, once."""
    client = mlflow.MlflowClient(server.address)
    info = json.loads((record / "run.json").read_text())
    result = json.loads((record / "result.json").read_text())
    assert run.info.status == "FINISHED"
    assert (run.info.start_time, run.info.end_time) == (int(info["started_at"] * 1000), int(info["ended_at"] * 1000))
    assert run.data.metrics["statistical_significance"] == result["comparison"]["p_value"]
    for name in run.data.metrics:
        history = client.get_metric_history(run.info.run_id, name)
        assert len({(one.step, one.timestamp) for one in history}) == len(history), f"{name} is doubled"
    sent = {item.path for folder in (None, "models") for item in client.list_artifacts(run.info.run_id, folder)}
    local = {str(path.relative_to(record / "artifacts")) for path in (record / "artifacts").rglob("*")}
    assert sent == local


def play(found: Gate, fault: str) -> None:
    """Set the gate to a named fault."""
    found.fault = {"500": 500, "hang": "hang"}.get(fault)
    found.delay = 3.0 if fault == "slow" else 0.0


@pytest.mark.parametrize("fault", ["gone", "hang", "500", "slow"])
def test_the_run_goes_on_and_sync_sends_it_once(
    fault: str, server: TrackingServer, lm: LMServer, tmp_path: Path
) -> None:
    with gate(server) as found:
        play(found, fault)
        folder = tmp_path / f"fault-{fault}"
        address = f"http://127.0.0.1:{free_port()}" if fault == "gone" else found.address
        process = start(at(folder, lm, address), tracking=True)
        out, err = ended(process)
        assert process.returncode == 0, err
        document = json.loads(out)
        assert (document["status"], document["verdict"]) == ("completed", "better")
        assert document["tracking_error"] is not None
        assert document["mlflow_run_id"] is None
        waited = json.loads((folder / document["record"] / "run.json").read_text())["tracking_seconds"]
        assert waited < 35  # ten seconds, and MLflow's import on a busy machine; hung or slow to its end takes more
        play(found, "none")
        (folder / ".env.mlflow").write_text(
            f"MLFLOW_TRACKING_URI={found.address}\nMLFLOW_EXPERIMENT_NAME={folder.name}\n"
        )
        [sent] = runs_command(folder, "sync")
        assert runs_command(folder, "sync") == []
        again = runs_command(folder, "sync", sent["record"])
        assert again == [sent]
    [run] = in_mlflow(server, folder.name)
    is_whole(server, run, folder / document["record"])


def test_a_server_that_dies_and_comes_back_at_random_moments_loses_nothing(lm: LMServer, tmp_path: Path) -> None:
    home = tmp_path / "server"
    home.mkdir()
    with tracking_server(home) as server, lm_server(delay=0.1) as slow:
        config = at(tmp_path / "stormy", slow, server.address, "bootstrap_random_search")
        with storm(server, random.Random(0)) as kills:
            process = start(config, tracking=True)
            wait_for(process, slow, 1)
            began = time.monotonic()
            out, err = ended(process)
            during = [moment for moment in kills if moment > began]
        assert out, err
        assert during, "the server was never killed while the run was at work"
        document = json.loads(out)
        runs_command(config.parent, "sync")
        [run] = in_mlflow(server, "stormy")
        is_whole(server, run, config.parent / document["record"])
        assert runs_command(config.parent, "sync") == []


def test_a_hundred_records_arrive_once_each_though_the_server_is_killed_in_the_middle(
    lm: LMServer, tmp_path: Path
) -> None:
    home = tmp_path / "server"
    home.mkdir()
    with tracking_server(home) as server:
        config = at(tmp_path / "hundred", lm, server.address)
        out, err = ended(start(config))
        assert out, err
        copies = [_copy(config.parent / json.loads(out)["record"], number) for number in range(100)]
        command = [sys.executable, "-m", "dspytrack", "runs", "sync"]
        sync = subprocess.Popen(command, cwd=config.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        until = time.monotonic() + PATIENCE
        while len(in_mlflow(server, "hundred")) < 30:
            assert sync.poll() is None and time.monotonic() < until
            time.sleep(0.2)
        server.kill()
        _, err = ended(sync)
        assert sync.returncode == 6, err
        server.start()
        runs_command(config.parent, "sync")
        assert runs_command(config.parent, "sync") == []
        runs = in_mlflow(server, "hundred")
        assert sorted(run.data.tags["dspytrack.run_id"] for run in runs) == sorted(copy.name for copy in copies)
        assert {run.info.status for run in runs} == {"FINISHED"}
        by_record = {run.data.tags["dspytrack.run_id"]: run for run in runs}
        for copy in copies[::10]:
            is_whole(server, by_record[copy.name], copy)


def _copy(record: Path, number: int) -> Path:
    """The record of another run, alike but for its name and times, to be tracked."""
    copy = record.with_name(f"20260101-000000-{number:06x}")
    if number == 99:
        record.rename(copy)
    else:
        shutil.copytree(record, copy)
    info = json.loads((copy / "run.json").read_text())
    info |= {"tracked": True, "started_at": info["started_at"] + number, "ended_at": info["ended_at"] + number}
    (copy / "run.json").write_text(json.dumps(info))
    os.utime(copy)
    return copy
