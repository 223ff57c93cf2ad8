"""Mutates what scores, meters and runs, and tries the unit tests on a seeded sample: tests/mutants.md (make mutants).

Owns the sample and the table; what is mutated and which tests are run stands in pyproject.toml, and mutmut does both.
`mutmut show NAME` prints a mutant, as long as the folder mutants/ is there.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mutmut.stats import status_by_exit_code

from tests.support.fault_matrix import table

MUTANTS = Path("mutants")
CAUGHT = ("killed", "timeout", "suspicious", "segfault")
LISTED = "survived"


def mutmut(names: Sequence[str]) -> list[str]:
    """The command that tries mutants; mutmut makes them first, and finds out which tests reach them."""
    return [sys.executable, "-m", "mutmut", "run", "--max-children", "2", *names]


def made() -> list[str]:
    """The names of all mutants, made anew; only then does mutmut find that none has the name that it is to try."""
    shutil.rmtree(MUTANTS, ignore_errors=True)
    done = subprocess.run(mutmut(["none"]), check=False, capture_output=True, text=True)
    names = sorted(statuses())
    if not names:
        sys.exit(f"mutmut made no mutants:\n{done.stdout}{done.stderr}")
    return names


def statuses() -> dict[str, str]:
    """Each mutant by its name, with how it fared."""
    found: dict[str, str] = {}
    for path in sorted(MUTANTS.rglob("*.py.meta")):
        codes: Mapping[str, int | None] = json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"]
        found |= {name: status_by_exit_code[code] for name, code in codes.items()}
    return found


def module_of(name: str) -> str:
    """ "evaluation/compare" for a mutant of that module."""
    return "/".join(name.split(".")[1:-1])


def function_of(name: str) -> str:
    """ "Meter.admit" for a mutant of that method."""
    return name.split(".")[-1].rsplit("__mutmut_", 1)[0].removeprefix("x_").removeprefix("xǁ").replace("ǁ", ".")


def share(part: int, of: int) -> str:
    """A share in percent; "-" of nothing."""
    return f"{part / of:.0%}" if of else "-"


def score_row(title: str, sizes: int, tried: Iterable[str]) -> list[object]:
    """One module's cells: mutants, tried, reached by a unit test, caught, caught of the reached."""
    count = Counter(tried)
    caught = sum(count[one] for one in CAUGHT)
    reached = caught + count[LISTED]
    return [title, sizes, count.total(), reached, caught, share(caught, reached)]


def report(sample: Mapping[str, str], sizes: Counter[str], seed: int) -> list[str]:
    """The lines of tests/mutants.md."""
    rows = [
        score_row(module, sizes[module], (fared for name, fared in sample.items() if module_of(name) == module))
        for module in sorted(sizes)
    ]
    total = score_row("all", sizes.total(), sample.values())
    left = Counter((module_of(name), function_of(name)) for name, fared in sample.items() if fared == LISTED)
    return [
        "# Mutants",
        "",
        f"{total[2]} of {total[1]} mutants, drawn with seed {seed}, were tried on the unit tests of",
        "`tests/evaluation`, `tests/lm` and `tests/runs`. Whole runs are integration tests and take no part: a mutant",
        "that only they reach counts as not reached. mutmut leaves out functions with a decorator.",
        "",
        *table("Score", ("module", "mutants", "tried", "reached", "caught", "caught of reached"), [*rows, total]),
        *table("Survivors", ("module", "function", "survived"), [(*key, count) for key, count in sorted(left.items())]),
    ]


def main() -> None:
    """Make the mutants, try a sample of them and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=600, help="of the sample; 0: all of them, an hour or more")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("tests/mutants.md"))
    given = parser.parse_args()
    names = made()
    chosen = random.Random(given.seed).sample(names, min(given.size or len(names), len(names)))
    subprocess.run(mutmut(chosen), check=True)
    fared = statuses()
    sizes = Counter(module_of(name) for name in names)
    lines = report({name: fared[name] for name in chosen}, sizes, given.seed)
    given.out.write_text("\n".join(lines), encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
