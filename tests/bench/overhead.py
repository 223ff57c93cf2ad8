"""The same random search by bare DSPy, by dspytrack and under `mlflow.dspy.autolog`: what is added by each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.report import Sample, Section, aim
from tests.bench.workload import SEARCH, THREADS

ROUNDS = 3
LONG = ("traces", 2000)
SIDES = {200: ("bare", "record", "tracked", "autolog", "traces"), 2000: ("bare", "tracked", "autolog", "traces")}
NAMES = {
    "bare": "bare DSPy",
    "record": "dspytrack, no tracking",
    "tracked": "dspytrack, tracked",
    "autolog": "autolog, no traces",
    "traces": "autolog, traces",
}
AIM_RATIO = 1.10
AIM_TRACES = 10
LIMIT_SECONDS = 3600


@dataclass(frozen=True)
class Run:
    """One process: seconds of `work` and of what a run pays once, and of the whole process."""

    work: float
    work_cpu: float
    fixed: dict[str, float]
    process: float
    score: float
    calls: int


def measure(side: str, count: int, folder: Path) -> Run:
    """Run one side in a process and a folder of its own."""
    folder.mkdir(parents=True)
    out = folder / "out.json"
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.child", side, str(count), str(out)],
        cwd=folder,
        env=os.environ | {"DSPY_CACHEDIR": str(folder / "dspy_cache"), "OPENAI_API_KEY": "a-key-for-the-stub"},
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
    )
    seconds = time.perf_counter() - began
    if done.returncode != 0:
        raise RuntimeError(f"{side}, {count} examples: exit {done.returncode}\n{done.stderr[-3000:]}")
    found = json.loads(out.read_text(encoding="utf-8"))
    fixed = {name: found["wall"].get(name, 0.0) for name in ("import", "store", "open", "close")}
    return Run(found["wall"]["work"], found["cpu"]["work"], fixed, seconds, found["score"], found["calls"])


def run(folder: Path, rounds: int = ROUNDS, long: bool = False) -> Section:
    """Measure every side in turn, in rounds, so that a noisy minute meets all of them."""
    runs: dict[tuple[str, int], list[Run]] = {}
    for index in range(rounds):
        for count, sides in SIDES.items():
            for side in sides if index % 2 == 0 else sides[::-1]:
                if (side, count) == LONG and not (long and index == 0):
                    continue
                one = measure(side, count, folder / f"{side}-{count}-{index}")
                runs.setdefault((side, count), []).append(one)
                print(f"  {NAMES[side]}, {count}: {one.work:.1f} s of {one.process:.1f} s", file=sys.stderr)
    section = Section("Overhead: a whole random search with an LM that answers at once")
    _explain(section, rounds)
    _tables(section, runs)
    _aims(section, runs)
    for count in SIDES:
        seen = {(one.score, one.calls) for (_, size), all_of_it in runs.items() if size == count for one in all_of_it}
        if len(seen) != 1:
            section.violations.append(f"overhead, {count} examples: the sides did different work: {sorted(seen)}")
    return section


def _explain(section: Section, rounds: int) -> None:
    section.say(
        f"Every side does the same in a fresh process: evaluate the program on the test split, compile it by "
        f"`BootstrapFewShotWithRandomSearch` ({', '.join(f'{name}={value}' for name, value in SEARCH.items())}), "
        f"evaluate the result; {THREADS} threads, the same seed, data, metric and splits, the same LM calls (checked). "
        "Every side keeps its responses on disk, in a fresh folder: bare DSPy and autolog in DSPy's cache (16 SQLite "
        "files, opened anew by each thread), dspytrack in the run's own file, where it also keeps what each cost. "
        "dspytrack looks prices up once a model, DSPy twice a call. The LM is a stub inside the process. "
        "The store is a fresh SQLite file. Medians "
        f"of {rounds} rounds, the sides in turn.",
        "`work` is the two evaluations and the compilation. What a run pays once is apart: imports; creating the "
        "SQLite store (MLflow's migrations; an existing store costs less); opening the run (checking the request, "
        "its first files); closing (dspytrack publishes, traces are flushed). The bench imports MLflow and opens "
        "the store before `work` on all sides; dspytrack by itself does so in the background, during the baseline.",
    )


def _work(runs: list[Run]) -> Sample:
    return Sample(tuple(one.work for one in runs))


def _whole(runs: list[Run]) -> Sample:
    """Work and closing: what is still to be sent at the end, such as traces, grows with the work."""
    return Sample(tuple(one.work + one.fixed["close"] for one in runs))


def _median(runs: list[Run], value: Any) -> float:
    return Sample(tuple(value(one) for one in runs)).median


def _tables(section: Section, runs: dict[tuple[str, int], list[Run]]) -> None:
    work, once = [], []
    for count, sides in SIDES.items():
        bare = runs["bare", count]
        for side in sides:
            found = runs.get((side, count))
            name = [str(count), NAMES[side]]
            if found is None:
                work.append([*name, "not run", "", "", "", ""])
                continue
            cpu, cpu_bare = _median(found, lambda one: one.work_cpu), _median(bare, lambda one: one.work_cpu)
            ratio = _work(found).median / _work(bare).median
            process = _median(found, lambda one: one.process)
            work.append(
                [*name, _work(found).shown(), f"{ratio:.2f}", f"{cpu:.2f}", f"{cpu / cpu_bare:.2f}", f"{process:.1f}"]
            )
            parts = {part: _median(found, lambda one, part=part: one.fixed[part]) for part in found[0].fixed}
            once.append([*name, *(f"{value:.2f}" for value in parts.values()), f"{sum(parts.values()):.2f}"])
    section.table(
        ("examples", "side", "work, s (least to greatest)", "× bare", "work, CPU s", "× bare", "whole process, s"),
        work,
    )
    section.say("Paid once, in seconds:")
    section.table(("examples", "side", "import", "store", "open", "close", "sum"), once)


def _aims(section: Section, runs: dict[tuple[str, int], list[Run]]) -> None:
    few, many = SIDES
    slopes = {
        side: (_work(runs[side, many]).median - _work(runs[side, few]).median) / (many - few)
        for side in SIDES[many]
        if (side, many) in runs
    }
    section.say(
        f"From {few} to {many} examples, work for each further example: "
        + ", ".join(
            f"{NAMES[side]} {slope * 1000:.2f} ms (× {slope / slopes['bare']:.2f})" for side, slope in slopes.items()
        )
        + "."
    )
    section.say(
        "The aims are on work and closing: what is still to be sent at the end, as traces are, grows with the work."
    )
    for count in SIDES:
        ratio = _whole(runs["tracked", count]).median / _whole(runs["bare", count]).median
        section.say(
            aim(f"tracked at most {AIM_RATIO:.2f} × bare at {count} examples ({ratio:.2f})", ratio <= AIM_RATIO)
        )
    for count in SIDES:
        if ("traces", count) in runs:
            times = _whole(runs["traces", count]).median / _whole(runs["tracked", count]).median
            said = f"tracked {AIM_TRACES} × faster than autolog with traces at {count} examples ({times:.1f})"
            section.say(aim(said, times >= AIM_TRACES))
        else:
            section.say(f"Autolog with traces at {count} examples: not run (`python -m tests.bench --long`).")
