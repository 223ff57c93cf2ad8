"""Program x examples -> one Row an example: score, tokens, cost, latency, error.

A failed call or metric is missing data with its error, never a score. One of the two places with threads.
"""

from __future__ import annotations

import contextvars
import math
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import Any

import dspy

from dspytrack.config.masking import masked
from dspytrack.data.dataset import Item, to_example
from dspytrack.errors import RunStop
from dspytrack.lm.metering.failures import is_of_lm
from dspytrack.lm.metering.scope import tallied
from dspytrack.metrics.metric import ScoredMetric
from dspytrack.results.values import Failure, Row

OnRow = Callable[[Row], None]


def evaluate(
    program: dspy.Module,
    items: Sequence[Item],
    inputs: Sequence[str],
    metric: ScoredMetric,
    *,
    num_threads: int,
    repeats: int = 1,
    namespace: str = "",
    on_row: OnRow | None = None,
) -> list[Row]:
    """Score a program on examples.

    Args:
        program: any dspy.Module; its LM is taken from the DSPy context.
        items: the examples, one Row each, in their order.
        inputs: names of the input fields.
        metric: scores one prediction.
        num_threads: calls at once.
        repeats: times each example is run; score, latency, cost, tokens and calls are means over them.
        namespace: keeps the responses apart, so that these calls are really made.
        on_row: told of each row as it comes, in any order, from one thread at a time.

    Raises:
        RunStop: where the run is to end; the calls in flight finish first, and their rows are reported.
    """
    stop: RunStop | None = None
    rows: dict[str, Row] = {}
    with ThreadPoolExecutor(num_threads) as pool:
        futures = [
            pool.submit(
                contextvars.copy_context().run, _repeated, program, item, list(inputs), metric, repeats, namespace
            )
            for item in items
        ]
        for future in as_completed(futures):
            try:
                row = future.result()
            except CancelledError:
                continue
            except RunStop as error:
                stop = stop or error
                for one in futures:
                    one.cancel()
                continue
            rows[row.example_id] = row
            if on_row is not None:
                on_row(row)
    if stop is not None:
        raise stop
    return [rows[item.example_id] for item in items]


def _repeated(
    program: dspy.Module, item: Item, inputs: list[str], metric: ScoredMetric, repeats: int, namespace: str
) -> Row:
    rows = []
    for repeat in range(repeats):
        own = f"{namespace}:{item.example_id}:{repeat}:" if namespace else ""
        rows.append(_once(program, item, inputs, metric, own))
        if rows[-1].error is not None:
            return rows[-1]
    if repeats == 1:
        return rows[0]
    return rows[0].model_copy(
        update={
            "score": _mean([row.score for row in rows]),
            "latency_ms": _mean([row.latency_ms for row in rows]),
            "cost_usd": _mean([row.cost_usd for row in rows]),
            "prompt_tokens": _rounded([row.prompt_tokens for row in rows]),
            "completion_tokens": _rounded([row.completion_tokens for row in rows]),
            "lm_calls": math.ceil(sum(row.lm_calls for row in rows) / repeats),
        }
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


def _rounded(values: Sequence[int | None]) -> int | None:
    mean = _mean(values)
    return None if mean is None else round(mean)


def _once(program: dspy.Module, item: Item, inputs: list[str], metric: ScoredMetric, namespace: str) -> Row:
    example = to_example(item, inputs)
    prediction: Any = None
    score, feedback, error = None, None, None
    failed: Failure | None = None
    with tallied(namespace) as tally:
        started = time.perf_counter()
        try:
            prediction = program(**example.inputs())
        except (Exception, SystemExit) as failure:  # noqa: BLE001 - whatever a program raises is this example's missing data
            error, failed = _short(failure), "call" if is_of_lm(failure) else "program"
        seconds = time.perf_counter() - started
        spent = replace(tally)
        if error is None:
            try:
                score, feedback = metric.score(example, prediction)
            except Exception as failure:  # noqa: BLE001 - whatever a metric raises is this example's missing data
                error, failed = f"metric: {_short(failure)}", "call" if is_of_lm(failure) else "metric"
    waited = min(seconds, spent.waited_seconds)  # on the caps' account: no part of what a call takes
    timed = error is None and spent.replayed_seconds is not None
    return Row(
        example_id=item.example_id,
        score=score,
        output=_output(prediction),
        feedback=feedback,
        latency_ms=(seconds - waited + (spent.replayed_seconds or 0.0)) * 1000 if timed else None,
        cost_usd=spent.cost_usd,
        prompt_tokens=spent.known_prompt_tokens,
        completion_tokens=spent.known_completion_tokens,
        lm_calls=spent.calls,
        error=error,
        failure=failed,
    )


def _output(prediction: Any) -> dict[str, Any] | None:
    if prediction is None:
        return None
    found = prediction.toDict() if hasattr(prediction, "toDict") else {"output": prediction}
    return {name: _plain(value) for name, value in found.items()}


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return str(value)


def _short(error: BaseException) -> str:
    """The error and its innermost frames, in one line."""
    frames = traceback.extract_tb(error.__traceback__)
    where = " < ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames[:-4:-1])
    return masked(f"{type(error).__name__}: {error}")[:500] + (f" ({where})" if where else "")
