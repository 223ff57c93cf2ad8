"""A run killed in its middle with SIGKILL and resumed: what is paid again, and how soon it is back where it was."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench.report import Section
from tests.support.killed_runs import differences, end, run_unkilled, start, write_config
from tests.support.lm_server import LMServer, lm_server

NAMES = ("bootstrap_random_search", "miprov2", "gepa")
DELAY = 0.5  # seconds the LM takes
THREADS = 4  # of write_config
PATIENCE = 240.0


@dataclass(frozen=True)
class Resumed:
    """One killed run: responses billed, and seconds from an attempt's start to a point of its work."""

    name: str
    billed_whole: int
    billed_killed: int
    first_call: float
    until_kill: float
    until_back: float
    differing: list[str]

    @property
    def again(self) -> int:
        """Responses paid for twice."""
        return self.billed_killed - self.billed_whole

    def cells(self) -> tuple[str, ...]:
        """A row of the table."""
        seconds = (f"{one:.1f}" for one in (self.first_call, self.until_kill, self.until_back))
        return (self.name, str(self.billed_whole), str(self.again), str(THREADS), *seconds, str(len(self.differing)))


def seconds_until(server: LMServer, billed: int, began: float) -> float:
    """Seconds since `began` when the server has billed so many responses."""
    while server.billed < billed:
        if time.monotonic() - began > PATIENCE:
            raise RuntimeError(f"{server.billed} of {billed} responses after {PATIENCE:g} s")
        time.sleep(0.005)
    return time.monotonic() - began


def kill_and_resume(folder: Path, name: str) -> Resumed:
    """Run once whole, once killed at half of its LM calls and resumed."""
    with lm_server(delay=DELAY) as server:
        whole = run_unkilled(write_config(folder / "whole", server, name), server)
        config, before = write_config(folder / "killed", server, name), server.billed
        began = time.monotonic()
        process = start(config)
        first_call = seconds_until(server, before + 1, began)
        until_kill = seconds_until(server, before + whole.billed // 2, began)
        process.kill()
        process.communicate()
        at_kill = server.settled()  # what was in flight is billed all the same
        began = time.monotonic()
        process = start(config, "--resume")
        until_back = seconds_until(server, at_kill + 1, began) - DELAY
        killed = end(process, config, server, before, 2)
    differing = differences(whole, killed)
    return Resumed(name, whole.billed, killed.billed, first_call, until_kill, until_back, differing)


def run(folder: Path) -> Section:
    """Measure some optimizers."""
    section = Section("Resume: SIGKILL in the middle")
    section.say(
        f"`dspytrack optimize` as a process, {THREADS} threads, an LM over HTTP that takes {DELAY:g} s; killed when "
        "half of its LM calls were billed, then `--resume`. *Back* is the first LM call after those that the killed "
        "run was billed for. Start to first call is imports and checks; a resumed run pays them as well.",
    )
    found = [kill_and_resume(folder / name, name) for name in NAMES]
    headers = ["optimizer", "calls, unkilled", "billed again", "in flight, at most"]
    headers += ["start to first call, s", "start to kill, s", "resume to back, s", "results that differ"]
    section.table(headers, [one.cells() for one in found])
    for one in found:
        if one.again > THREADS:
            section.violations.append(f"{one.name}: {one.again} calls billed again, {THREADS} in flight at most")
        section.violations += [f"{one.name}: {difference}" for difference in one.differing]
    return section
