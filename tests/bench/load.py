"""Many runs at once against the server in Docker Compose: is each of them there whole, and what did tracking take."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow

from tests.bench.report import Section
from tests.integration import engine
from tests.integration.servers import Shell
from tests.support.killed_runs import start, write_config
from tests.support.lm_server import lm_server
from tests.support.ports import free_port
from tests.support.tracking_server import TrackingServer, gate

RUNS = 20


@dataclass(frozen=True)
class Load:
    """So many runs at once: wall seconds, those in MLflow at their end, those whole after a sync, what each took."""

    runs: int
    seconds: float
    at_their_end: int
    whole: int
    requests_a_run: float
    waiting_s: list[float]


def run_at_once(folder: Path, address: str, port: int, runs: int = RUNS) -> Load:
    """Start so many `optimize` processes at once, sync what is left, and look at MLflow.

    Args:
        folder: for the runs' folders.
        address: the server's.
        port: of the server on loopback; requests are counted on their way there.
        runs: how many.
    """
    with lm_server() as lm, gate(TrackingServer(folder, port)) as door:
        configs = [write_config(folder / f"run{number}", lm, "labeled_few_shot") for number in range(runs)]
        for config in configs:
            settings = f"MLFLOW_TRACKING_URI={door.address}\nMLFLOW_EXPERIMENT_NAME=load\n"
            (config.parent / ".env.mlflow").write_text(settings, encoding="utf-8")
        began = time.monotonic()
        processes = [start(config, tracking=True) for config in configs]
        documents = []
        for process in processes:
            out, err = process.communicate(timeout=600)
            if not out:
                raise RuntimeError(err)
            documents.append(json.loads(out))
        seconds = time.monotonic() - began
        requests = door.requests
        for config in configs:
            command = [sys.executable, "-m", "dspytrack", "runs", "sync"]
            subprocess.run(command, cwd=config.parent, check=True, capture_output=True, timeout=300)
    records = [config.parent / one["record"] for config, one in zip(configs, documents, strict=True)]
    waiting = [json.loads((record / "run.json").read_text())["tracking_seconds"] for record in records]
    arrived = sum(one["mlflow_run_id"] is not None for one in documents)
    return Load(runs, seconds, arrived, _whole(address, records), requests / runs, waiting)


def _whole(address: str, records: list[Path]) -> int:
    """How many records are in MLflow, once, with every metric and artifact."""
    client = mlflow.MlflowClient(address)
    experiment = client.get_experiment_by_name("load")
    found: dict[str, list[Any]] = {}
    for run in client.search_runs([experiment.experiment_id], max_results=1000):
        found.setdefault(run.data.tags["dspytrack.run_id"], []).append(run)
    return sum(len(found.get(one.name, [])) == 1 and _is_whole(client, found[one.name][0], one) for one in records)


def _is_whole(client: Any, run: Any, record: Path) -> bool:
    result = json.loads((record / "result.json").read_text())
    local = {str(path.relative_to(record / "artifacts")) for path in (record / "artifacts").rglob("*")}
    sent = {item.path for part in (None, "models") for item in client.list_artifacts(run.info.run_id, part)}
    same = run.data.metrics["statistical_significance"] == result["comparison"]["p_value"]
    return bool(run.info.status == "FINISHED" and same and sent == local)


def run(folder: Path) -> Section:
    """Measure, where an engine answers."""
    section = Section(f"Load: {RUNS} runs at once against the server in Docker Compose")
    why = engine.why_none()
    if why:
        section.say(f"Not run: {why}.")
        return section
    shell = Shell(folder, {"OPENAI_API_KEY": "a-key-for-loopback", **engine.images()})
    port = free_port()
    shell.ok("up", "--port", str(port))
    try:
        found = run_at_once(folder, f"http://127.0.0.1:{port}", port)
    finally:
        shell.ok("down", "--delete-data", "--yes")
    section.table(
        (
            "runs",
            "seconds, all",
            "in MLflow at end",
            "whole after `runs sync`",
            "requests a run",
            "s waiting",
            "at most",
        ),
        [
            (
                str(found.runs),
                f"{found.seconds:.0f}",
                str(found.at_their_end),
                str(found.whole),
                f"{found.requests_a_run:.1f}",
                f"{statistics.median(found.waiting_s):.1f}",
                f"{max(found.waiting_s):.1f}",
            )
        ],
    )
    section.say("The LM answers at once, over HTTP. Waiting is what a run's end is held up by MLflow.")
    if found.whole != found.runs:
        section.violations.append(f"load: {found.whole} of {found.runs} runs are whole in MLflow")
    return section
