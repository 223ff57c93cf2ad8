"""What one prediction costs beside its LM: bare calls and `dspy.Evaluate` against the metered LM and a recorded row.

`python -m tests.bench.prediction OUT` is the measured process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from tests.bench.report import Sample, Section
from tests.bench.workload import LM, answer_at_once, examples, same_label, workload

TURNS = 7
EXAMPLES = 200  # in a turn
SIDES = {
    "call": "bare call of the program, and the metric",
    "metered": "the same call, by the metered LM",
    "Evaluate": "`dspy.Evaluate`",
    "row": "dspytrack's evaluation, each row written to the record",
}


def run(folder: Path) -> Section:
    """Measure it in a process of its own."""
    out = folder / "out.json"
    subprocess.run(
        [sys.executable, "-m", "tests.bench.prediction", str(out)],
        check=True,
        cwd=folder,
        env=os.environ | {"DSPY_CACHEDIR": str(folder / "dspy_cache"), "OPENAI_API_KEY": "a-key-for-the-stub"},
        stderr=subprocess.DEVNULL,
    )
    found = {side: Sample(tuple(values)) for side, values in json.loads(out.read_text(encoding="utf-8")).items()}
    section = Section("One prediction")
    section.say(
        f"Microseconds a prediction with its metric, one thread, the stub as LM, responses kept on disk on every side; "
        f"medians of {TURNS} turns of {EXAMPLES} new examples, the sides in turn."
    )
    base = found["call"].median
    section.table(
        ("side", "µs (least to greatest)", "more than a bare call, µs"),
        [(SIDES[side], one.shown(0), f"{one.median - base:+.0f}") for side, one in found.items()],
    )
    return section


def sides(folder: Path) -> dict[str, Callable[[list[Any]], None]]:
    """What each side does with a turn's examples."""
    import dspy

    from dspytrack.data.dataset import to_examples
    from dspytrack.evaluation.evaluate import evaluate
    from dspytrack.lm.build import build_lm
    from dspytrack.metrics.metric import build_metric
    from dspytrack.record.store import Record

    request = workload(folder)
    program = dspy.Predict(dspy.Signature("text -> label", "Name the mood."))
    metered, lm = build_lm(request.lm), dspy.LM(**LM)
    metric, record = build_metric(request.metric, folder), Record.create(folder / "runs")

    def call(items: list[Any], own: Any = lm) -> None:
        with dspy.context(lm=own):
            for one in to_examples(items, ["text"]):
                same_label(one, program(**one.inputs()))

    def whole(items: list[Any]) -> None:
        score = dspy.Evaluate(devset=to_examples(items, ["text"]), metric=same_label, num_threads=1)
        with dspy.context(lm=lm):
            score(program)

    def row(items: list[Any]) -> None:
        def keep(one: Any) -> None:
            record.append("rows/baseline.jsonl", one)

        with dspy.context(lm=metered):
            evaluate(program, items, ["text"], metric, num_threads=1, namespace="baseline", on_row=keep)

    return {"call": call, "metered": lambda items: call(items, metered), "Evaluate": whole, "row": row}


def measured(folder: Path) -> dict[str, list[float]]:
    """Microseconds of one prediction, by side and turn; no two sides share an example, so no answer is a cached one."""
    from dspytrack.data.splits import load_splits
    from dspytrack.lm.metering.dspy_hooks import metering
    from dspytrack.lm.metering.meter import Meter

    answer_at_once()
    work = sides(folder)
    splits = load_splits(workload(folder).dataset, folder, 0, examples((TURNS + 1) * len(work) * EXAMPLES))
    items = iter([*splits.train, *splits.val, *splits.test])
    found: dict[str, list[float]] = {side: [] for side in work}
    for turn in range(TURNS + 1):
        for side in list(work) if turn % 2 else list(work)[::-1]:
            some = [next(items) for _ in range(EXAMPLES)]
            is_metered = side in ("metered", "row")
            with metering(folder / f"{turn}-{side}.jsonl", Meter()) if is_metered else nullcontext():
                began = time.perf_counter()
                work[side](some)
                seconds = time.perf_counter() - began
            if turn:  # the first warms up
                found[side].append(seconds / EXAMPLES * 1e6)
    return found


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(measured(Path.cwd())), encoding="utf-8")
