"""How long `dspytrack --help` takes, and whether it imports what it must not."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from tests.bench.report import Sample, Section, aim

TIMES = 10
AIM_SECONDS = 0.25
HEAVY = ("dspy", "mlflow", "litellm", "numpy")


def timed(command: list[str]) -> float:
    """Wall seconds of a process that must succeed."""
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def imported(command: list[str]) -> set[str]:
    """Every module that a Python process imports."""
    traced = subprocess.run(
        [sys.executable, "-X", "importtime", *command], check=True, capture_output=True, text=True
    ).stderr
    return {line.rpartition("|")[2].strip() for line in traced.splitlines() if line.startswith("import time:")}


def run(folder: Path) -> Section:
    """Measure it."""
    script = Path(sys.executable).with_name("dspytrack")
    command = [str(script)] if script.is_file() else ["-m", "dspytrack"]
    section = Section("Start: `dspytrack --help`")
    times: dict[str, list[float]] = {"dspytrack --help": [], "python -c pass": []}
    for index in range(TIMES + 1):
        for name, arguments in zip(times, ([*command, "--help"], ["-c", "pass"]), strict=True):
            seconds = timed([sys.executable, *arguments])
            if index:  # the first fills the caches of the system
                times[name].append(seconds)
    found = {name: Sample(tuple(values)) for name, values in times.items()}
    heavy = sorted(set(HEAVY) & imported([*command, "--help"]))
    section.table(
        ("process", f"seconds, median of {TIMES} (least to greatest)"),
        [(f"`{name}`", one.shown(3)) for name, one in found.items()],
    )
    section.say(
        f"Imported of {', '.join(HEAVY)}: {', '.join(heavy) or 'none'}.",
        aim(f"under {AIM_SECONDS} s", found["dspytrack --help"].median < AIM_SECONDS),
    )
    if heavy:
        section.violations.append(f"`dspytrack --help` imports {', '.join(heavy)}")
    return section
