"""One measured process: `python -m tests.bench.child SIDE EXAMPLES OUT` writes its timings as JSON.

The cost that every run pays once (imports, opening a fresh MLflow store, publishing) is timed apart from `work`: the
baseline evaluation, the search and the evaluation of its result. MLflow is imported and the store opened before
`work` on every side that uses them; dspytrack by itself does both in the background while the baseline is measured.
Every side keeps its responses on disk in a fresh folder: bare DSPy and autolog in the DSPY_CACHEDIR they are given,
dspytrack in its record, which takes the place of DSPy's cache.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.workload import LM, SEARCH, SEED, THREADS, answer_at_once, calls_made, examples, same_label, workload

if TYPE_CHECKING:
    from dspytrack.runs.events import Event

STORE = "sqlite:///mlflow.db"


class Watch:
    """Wall and CPU seconds of named spans."""

    def __init__(self) -> None:
        self.wall: dict[str, float] = {}
        self.cpu: dict[str, float] = {}

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        """Time a block."""
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.add(name, wall, cpu)

    def add(self, name: str, wall: float, cpu: float) -> None:
        """Count a span that began then and ends now."""
        self.wall[name] = self.wall.get(name, 0.0) + time.perf_counter() - wall
        self.cpu[name] = self.cpu.get(name, 0.0) + time.process_time() - cpu


class Phases:
    """A listener that times the phases of a run; the last row is the end of the last one."""

    def __init__(self) -> None:
        self.marks: list[tuple[str, float, float]] = []
        self.last = (0.0, 0.0)

    def __call__(self, event: Event) -> None:
        """Note when a phase begins and when the last row of it comes."""
        from dspytrack.runs.events import PhaseStarted, RowScored

        now = (time.perf_counter(), time.process_time())
        if isinstance(event, PhaseStarted):
            self.marks.append((event.name, *now))
        elif isinstance(event, RowScored):
            self.last = now

    def into(self, watch: Watch, began: tuple[float, float], ended: tuple[float, float]) -> None:
        """Hand the phases over, with what lay before and after them."""
        ends = [(wall, cpu) for _, wall, cpu in self.marks[1:]] + [self.last]
        for (name, wall, cpu), (wall_end, cpu_end) in zip(self.marks, ends, strict=True):
            watch.wall[name], watch.cpu[name] = wall_end - wall, cpu_end - cpu
        _, wall, cpu = self.marks[0]
        watch.wall["open"], watch.cpu["open"] = wall - began[0], cpu - began[1]
        watch.wall["close"], watch.cpu["close"] = ended[0] - self.last[0], ended[1] - self.last[1]
        watch.wall["work"], watch.cpu["work"] = self.last[0] - wall, self.last[1] - cpu


def bare(count: int, watch: Watch, autolog: dict[str, bool] | None = None) -> float:
    """What a user of DSPy writes: evaluate, compile, evaluate; returns the score. With `autolog`, MLflow's own."""
    with watch.span("import"):
        import dspy
        import numpy as np

        from dspytrack.data.dataset import to_examples
        from dspytrack.data.splits import load_splits

    if autolog is not None:
        with watch.span("import"):
            import mlflow
            import mlflow.dspy
        with watch.span("store"):
            mlflow.set_tracking_uri(STORE)
            mlflow.set_experiment("bench")
            mlflow.dspy.autolog(**autolog)
    request = workload(Path.cwd())
    with watch.span("open"):
        splits = load_splits(request.dataset, Path.cwd(), SEED, examples(count))
        train, val, test = (to_examples(one, ["text"]) for one in (splits.train, splits.val, splits.test))
        dspy.configure(lm=dspy.LM(**LM))
        program = dspy.Predict(dspy.Signature("text -> label", "Name the mood."))
        score = dspy.Evaluate(devset=test, metric=same_label, num_threads=THREADS)
        assert dspy.cache is not None  # opened on first use
    with watch.span("work"):
        with watch.span("baseline"):
            score(program)
        with watch.span("optimization"):
            random.seed(SEED)
            np.random.seed(SEED)
            search = dspy.BootstrapFewShotWithRandomSearch(metric=same_label, num_threads=THREADS, **SEARCH)
            best = search.compile(program, trainset=train, valset=val)
        with watch.span("optimized"):
            found = float(score(best).score) / 100
    if autolog is not None:
        with watch.span("close"):
            mlflow.flush_trace_async_logging()
    return found


def tracked(count: int, watch: Watch, tracking: bool) -> float:
    """The same run by dspytrack, with or without MLflow."""
    with watch.span("import"):
        import dspy  # noqa: F401

        from dspytrack.pipeline import OptimizationPipeline
        from dspytrack.tracking.config import MLflowConfig

    config = MLflowConfig(tracking_uri=STORE, experiment_name="bench")
    if tracking:
        with watch.span("import"):
            import mlflow
        with watch.span("store"):
            mlflow.MlflowClient(STORE).search_experiments()
    request = workload(Path.cwd())
    phases = Phases()
    began = time.perf_counter(), time.process_time()
    pipeline = OptimizationPipeline(config, tracking, listener=phases, runs_dir=Path("runs"))
    result = pipeline.run(request, training_data=examples(count))
    phases.into(watch, began, (time.perf_counter(), time.process_time()))
    assert result.status == "completed" and result.tracking_error is None, result
    assert result.comparison is not None and result.comparison.optimized.quality_score is not None
    return result.comparison.optimized.quality_score


EVALS = {"log_compiles": True, "log_evals": True}
TRACES = ("log_traces", "log_traces_from_compile", "log_traces_from_eval")
SIDES: dict[str, Callable[[int, Watch], float]] = {
    "bare": bare,
    "record": partial(tracked, tracking=False),
    "tracked": partial(tracked, tracking=True),
    "autolog": partial(bare, autolog=EVALS | dict.fromkeys(TRACES, False)),
    "traces": partial(bare, autolog=EVALS | dict.fromkeys(TRACES, True)),
}


def main(side: str, count: int, out: Path) -> None:
    """Run one side in the current folder and write what it took."""
    watch = Watch()
    with watch.span("import"):
        answer_at_once()
    score = SIDES[side](count, watch)
    found = {"wall": watch.wall, "cpu": watch.cpu, "score": score, "calls": calls_made()}
    out.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
