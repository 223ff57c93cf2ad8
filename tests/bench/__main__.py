"""`python -m tests.bench [--only NAME]... [--long] [--rounds N]` (make bench): measure, print and write tests/bench.md.

Exits 1 where something that must hold does not: a cap overshot by more than the calls in flight, a resumed run that
paid for more than that again, sides that did different work. Times are reported against their aims, not enforced.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.bench import caps, help, load, overhead, prediction, resume
from tests.bench.report import Section, load_average, machine

ROOT = Path(__file__).parents[2]
REPORT = ROOT / "tests/bench.md"


def main() -> int:
    """Run the topics and write the report."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="what dspytrack costs, measured")
    topics: dict[str, Callable[..., Section]] = {
        "help": help.run,
        "overhead": overhead.run,
        "prediction": prediction.run,
        "resume": resume.run,
        "caps": caps.run,
        "load": load.run,
    }
    parser.add_argument("--only", action="append", choices=topics, help="a topic; the report is then only printed")
    parser.add_argument("--long", action="store_true", help="autolog with traces over 2,000 examples too, once")
    parser.add_argument("--rounds", type=int, default=overhead.ROUNDS, help="rounds of `overhead`")
    parser.add_argument("--out", type=Path, help=f"where to write the report (default: {REPORT.relative_to(ROOT)})")
    given = parser.parse_args()
    topics["overhead"] = partial(overhead.run, rounds=given.rounds, long=given.long)
    os.environ["PYTHONPATH"] = str(ROOT)  # of the measured processes, which run in folders of their own
    sections, loads, began = [], [load_average()], time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        for name in given.only or topics:
            print(f"{name} …", file=sys.stderr)
            (Path(folder) / name).mkdir()
            sections.append(topics[name](Path(folder) / name))
            loads.append(load_average())
    report = "\n".join(_head(time.monotonic() - began, loads) + [one.markdown() for one in sections]).rstrip() + "\n"
    print(report)
    out = given.out or (None if given.only else REPORT)
    if out is not None:
        out.write_text(report, encoding="utf-8")
    violations = [one for section in sections for one in section.violations]
    for one in violations:
        print(f"violated: {one}", file=sys.stderr)
    return int(bool(violations))


def _head(seconds: float, loads: list[float]) -> list[str]:
    return [
        "# What dspytrack costs",
        "",
        f"Written by `make bench` (`python -m tests.bench`) in {seconds / 60:.0f} min.",
        "",
        *machine(),
        f"- load average {loads[0]:.1f} before the first measurement, {max(loads):.1f} at most after a topic "
        "(the bench itself keeps about one core busy)",
        "",
    ]


if __name__ == "__main__":
    sys.exit(main())
