"""The whole matrix of faults, seeded; its tables are kept in tests/faults.md (make faults).

Each optimizer's run is killed once at each of many random moments and resumed; runs that are tracked by a real server
which is killed and started again meanwhile are synced. Exits with 1 where a result differs or too much was billed.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import mlflow

from tests.support.killed_runs import OPTIMIZERS, differences, ended, run_killed, run_unkilled, start, write_config
from tests.support.lm_server import lm_server
from tests.support.tracking_server import storm, tracking_server

THREADS = 4  # of the runs: so many calls may be in flight at a kill


class Line(NamedTuple):
    """One optimizer under one signal: calls billed without it, kills, calls billed again at most, differences."""

    optimizer: str
    billed: int
    kills: int
    worst: int
    differences: list[str]

    @property
    def failed(self) -> bool:
        """Whether a promise was broken."""
        return bool(self.differences) or self.worst > THREADS

    def row(self) -> list[object]:
        """As table cells."""
        return [self.optimizer, self.billed, self.kills, self.worst, THREADS, len(self.differences)]


def killed_line(folder: Path, optimizer: str, kind: signal.Signals, kills: int, seed: int) -> Line:
    """Kill an optimizer's run at so many seeded moments, each in a run of its own that is then resumed."""
    rng = random.Random(f"{seed}:{optimizer}:{kind.name}")
    differ: list[str] = []
    worst = killed_before_its_end = 0
    with lm_server(delay=0.01) as server:
        whole = run_unkilled(write_config(folder / "whole", server, optimizer), server)
        for index in range(kills):
            config = write_config(folder / str(index), server, optimizer)
            moment = rng.randint(1, whole.billed - 1)
            killed = run_killed(config, server, [moment], kind)
            differ += [f"killed at {moment}: {one}" for one in differences(whole, killed)]
            worst = max(worst, killed.billed - whole.billed)
            killed_before_its_end += killed.attempts - 1
    return Line(optimizer, whole.billed, killed_before_its_end, worst, differ)


def stormy_line(folder: Path, optimizer: str, runs: int, seed: int) -> list[object]:
    """Runs while the tracking server is killed and started at random: how many are whole in MLflow after a sync."""
    home = folder / "server"
    home.mkdir(parents=True)
    with tracking_server(home) as server, lm_server(delay=0.1) as lm:
        config = write_config(folder / "runs", lm, optimizer)
        (config.parent / ".env.mlflow").write_text(f"MLFLOW_TRACKING_URI={server.address}\nMLFLOW_EXPERIMENT_NAME=x\n")
        at_once = 0
        with storm(server, random.Random(f"{seed}:{optimizer}")):
            for _ in range(runs):
                out, err = ended(start(config, tracking=True))
                if not out:
                    raise AssertionError(err)
                at_once += json.loads(out)["mlflow_run_id"] is not None
        for _ in range(2):  # twice: the second time there is nothing left
            command = [sys.executable, "-m", "dspytrack", "runs", "sync"]
            subprocess.run(command, cwd=config.parent, check=True, capture_output=True, timeout=300)
        client = mlflow.MlflowClient(server.address)
        found = client.search_runs([client.get_experiment_by_name("x").experiment_id], max_results=1000)
        whole = sum(run.info.status == "FINISHED" and "verdict" in run.data.tags for run in found)
    return [optimizer, runs, at_once, len(found), whole]


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """A Markdown table under a title."""
    lines = [f"## {title}", "", "| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return [*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows), ""]


def main() -> None:
    """Run the matrix and write its tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=20, help="with SIGKILL, for each optimizer")
    parser.add_argument("--terms", type=int, default=10, help="with SIGTERM, for each optimizer")
    parser.add_argument("--storms", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("tests/faults.md"))
    given = parser.parse_args()
    lines = [f"# What faults cost (seed {given.seed})", ""]
    failures: list[str] = []
    head = ("optimizer", "billed calls, unkilled", "kills", "billed again, at most", "in flight", "figures that differ")
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(2) as pool:
        for kind, kills in ((signal.SIGKILL, given.kills), (signal.SIGTERM, given.terms)):
            asked = [
                pool.submit(killed_line, Path(scratch) / kind.name / name, name, kind, kills, given.seed)
                for name in OPTIMIZERS
            ]
            found = [one.result() for one in asked]
            lines += table(f"Runs ended by {kind.name} at random moments, then resumed", head, [o.row() for o in found])
            failures += [f"{kind.name} {one.optimizer}: {one.worst} {one.differences}" for one in found if one.failed]
        rows = [stormy_line(Path(scratch) / "storm", "bootstrap_random_search", given.storms, given.seed)]
    words = ("optimizer", "runs", "in MLflow at their end", "in MLflow after `runs sync`", "of these whole")
    lines += table("Runs tracked by a server that is killed and started again all the time", words, rows)
    failures += [f"storm: {row}" for row in rows if not row[1] == row[3] == row[4]]
    given.out.write_text("\n".join(lines), encoding="utf-8")
    print("\n".join([*lines, *failures]))
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
