"""The fault harness: runs `dspytrack optimize` as a process, kills it at given moments, resumes it, compares."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.support.lm_server import LMServer
from tests.support.requests import rows

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "labeled_few_shot": {"k": 4},
    "bootstrap_few_shot": {"max_bootstrapped_demos": 2, "max_labeled_demos": 4},
    "bootstrap_random_search": {"num_candidate_programs": 3, "max_bootstrapped_demos": 1, "max_labeled_demos": 4},
    "copro": {"breadth": 3, "depth": 2},
    "miprov2": {"num_candidates": 2, "num_trials": 3, "max_bootstrapped_demos": 1, "max_labeled_demos": 2},
    "gepa": {"max_metric_calls": 60},
    "simba": {"bsize": 8, "max_steps": 2, "num_candidates": 3, "max_demos": 2},
}
PATIENCE = 240.0  # seconds in which a process ends or gets to its calls, on the slowest machine
MEASURED = ("latency", "duration", "seconds")


@dataclass
class Outcome:
    """How a sequence of attempts ended: the JSON of the last, the program's state, responses billed by the server."""

    document: dict[str, Any]
    program: dict[str, Any]
    billed: int
    attempts: int
    code: int

    def comparable(self) -> dict[str, Any]:
        """Everything that must be the same however often the run was killed."""
        kept = {
            name: value
            for name, value in self.document.items()
            if isinstance(value, int | float | str | None) and not any(word in name for word in MEASURED)
        }
        for name in ("run_id", "record_id", "record", "task_cached_calls", "task_failed_calls", "task_retried_calls"):
            kept.pop(name, None)
        return kept | {"program": self.program}


def lm_at(server: LMServer, timeout: float = 10) -> dict[str, Any]:
    """The LM of a config; `timeout` is how many seconds a call waits for its answer."""
    return {"model": "openai/gpt-4o-mini", "api_base": server.api_base, "num_retries": 1, "timeout": timeout}


def write_config(folder: Path, server: LMServer, optimizer: str, **changes: Any) -> Path:
    """A small run's config and data in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    data = "".join(json.dumps(row) + "\n" for row in rows(40))
    (folder / "data.jsonl").write_text(data, encoding="utf-8")
    document: dict[str, Any] = {
        "target": {"id": "mood"},
        "program": {"signature": "text -> label", "instructions": "Name the mood."},
        "dataset": {"path": "data.jsonl", "inputs": ["text"], "stratify": "label"},
        "metric": {"name": "exact_match", "field": "label"},
        "lm": lm_at(server),
        "optimizer": {"name": optimizer, "params": OPTIMIZERS[optimizer]},
        "evaluation": {"num_threads": 4},
    }
    path = folder / "config.yaml"
    with path.open("w", encoding="utf-8") as file:
        YAML().dump(document | changes, file)
    return path


def start(config: Path, *options: str, tracking: bool = False) -> subprocess.Popen[str]:
    """`dspytrack optimize` in the config's folder."""
    arguments = ["optimize", config.name, "--json", *options, *([] if tracking else ["--no-tracking"])]
    return subprocess.Popen(
        [sys.executable, "-m", "dspytrack", *arguments],
        cwd=config.parent,
        env=os.environ | {"OPENAI_API_KEY": "a-key-for-loopback"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str], seconds: float = PATIENCE) -> tuple[str, str]:
    """Wait for a process's end, so long at most: what it printed."""
    try:
        return process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"no end after {seconds:g} s; it printed:\n{out}\n{err[-4000:]}") from None


def wait_for(process: subprocess.Popen[str], server: LMServer, billed: int) -> None:
    """Wait until a run is in the middle of its calls."""
    until = time.monotonic() + PATIENCE
    while server.billed < billed:
        if process.poll() is not None or time.monotonic() > until:
            process.kill()
            _, err = process.communicate()
            raise AssertionError(f"{server.billed} of {billed} calls, then exit {process.returncode}: {err[-4000:]}")
        time.sleep(0.005)


def end(process: subprocess.Popen[str], config: Path, server: LMServer, before: int, attempts: int) -> Outcome:
    """Wait for a run's end and read what it left."""
    out, err = ended(process)
    return outcome(out, err, process.returncode, config, server, before, attempts)


def outcome(out: str, err: str, code: int, config: Path, server: LMServer, before: int, attempts: int) -> Outcome:
    """What an ended run left."""
    if not out:
        raise AssertionError(f"exit {code}: {err}")
    document = json.loads(out)
    state = config.parent / document["record"] / "artifacts/models/optimized_model.json"
    program = json.loads(state.read_text(encoding="utf-8")) if state.is_file() else {}
    return Outcome(document, program, server.settled() - before, attempts, code)


def run_unkilled(config: Path, server: LMServer) -> Outcome:
    """One attempt."""
    before = server.billed
    return end(start(config), config, server, before, 1)


def run_killed(config: Path, server: LMServer, moments: list[int], kind: signal.Signals = signal.SIGKILL) -> Outcome:
    """A run that gets a signal when the server has billed that many responses, resumed until it ends."""
    before, attempts, resume = server.billed, 0, False
    for moment in moments:
        process = start(config, *(["--resume"] if resume else []))
        attempts += 1
        until = time.monotonic() + PATIENCE
        while process.poll() is None and server.billed - before < moment and time.monotonic() < until:
            time.sleep(0.002)
        if process.poll() is not None:
            return end(process, config, server, before, attempts)
        process.send_signal(kind)
        out, err = ended(process)
        if process.returncode == 0:  # it ended by itself while the signal was on its way
            return outcome(out, err, process.returncode, config, server, before, attempts)
        resume = any((config.parent / ".dspytrack/runs").glob("*/run.json"))
    return end(start(config, *(["--resume"] if resume else [])), config, server, before, attempts + 1)


def differences(left: Outcome, right: Outcome) -> list[str]:
    """Names of what is not the same to the last digit."""
    a, b = left.comparable(), right.comparable()
    return [
        f"{name}: {a.get(name)!r} != {b.get(name)!r}"
        for name in sorted(a.keys() | b.keys())
        if a.get(name) != b.get(name)
    ]
