"""Prints how a run ended: a table for people, one JSON document for machines."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any, TextIO

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dspytrack.cli.render.next_commands import predict_command
from dspytrack.record.store import Record
from dspytrack.results.catalogue import METRIC_NAMES, format_value, usd
from dspytrack.results.measures import measures
from dspytrack.results.values import Comparison, OptimizationResult
from dspytrack.runs.how_to_resume import resume_command

_COLOURS = {"better": "green", "worse": "red"}


def result_document(result: OptimizationResult) -> dict[str, Any]:
    """The JSON document of `optimize --json`: each metric by its name at the top level, unknown ones null."""
    data = result.model_dump(mode="json", exclude={"candidates", "comparison", "usage"})
    known = result.metrics()
    comparison = result.comparison.model_dump(mode="json") if result.comparison else None
    usage = {role: use.model_dump() for role, use in result.usage.items()}
    return data | {name: known.get(name) for name in METRIC_NAMES} | known | {"comparison": comparison, "usage": usage}


def print_result(result: OptimizationResult, as_json: bool, answer: TextIO, experiment: str | None = None) -> None:
    """Show how a run ended and what to type next.

    Args:
        result: of the run.
        as_json: whether to print one JSON document instead.
        answer: the stream to print to.
        experiment: the one that commands use by default.
    """
    if as_json:
        typer.echo(json.dumps(result_document(result), indent=2, allow_nan=False), file=answer)
        return
    console = Console(file=answer, highlight=False)
    if result.comparison is not None:
        console.print(_comparison_table(result.comparison))
    word = result.verdict or result.status.replace("_", " ")
    colour = _COLOURS.get(word, "yellow")
    console.print(f"[bold {colour}]{word}[/]: {escape(result.reason)}")
    record = Record(Path(result.record))
    c = result.comparison
    if c is not None and c.improvement_percentage is not None:
        improved = format_value("improvement_percentage", c.improvement_percentage, signed=True)
        console.print(f"improvement {improved}{_interval(c, record)}")
    console.print(_cost_line(result))
    for name, why in result.unknown.items():
        console.print(f"{name} is unknown: {why}", markup=False)
    _print_next(console, result, _next_commands(result, record, experiment))


def _interval(c: Comparison, record: Record) -> str:
    if c.interval_low is None or c.interval_high is None:
        return ""
    alpha = (record.request.get("significance") or {}).get("alpha", 0.05)
    low, high = (format_value("quality_improvement", end, signed=True) for end in (c.interval_low, c.interval_high))
    return f", score difference {low} to {high} ({100 * (1 - alpha):.4g} % interval)"


def _comparison_table(c: Comparison) -> Table:
    table = Table(title=f"{c.examples} test examples, {c.left_out} left out", title_justify="left")
    for name in ("", "baseline", "optimized", "better by"):
        table.add_column(name, justify="left" if not name else "right")
    for one in measures(c):
        table.add_row(one.label, one.baseline, one.optimized, one.better_by)
    return table


def _cost_line(result: OptimizationResult) -> str:
    calls, cost = result.total_lm_calls or 0, usd(result.total_cost_usd)
    return f"{calls:.0f} LM calls, {cost}, {result.iterations} candidates, {result.duration_seconds:.0f} s"


def _print_next(console: Console, result: OptimizationResult, commands: list[str]) -> None:
    console.print(f"record {result.record}", markup=False, soft_wrap=True)
    if result.mlflow_run_id:
        console.print(f"MLflow {result.tracking_uri} run {result.mlflow_run_id}", markup=False, soft_wrap=True)
    elif result.tracking_error:
        console.print(f"not yet in MLflow: {result.tracking_error}", markup=False, soft_wrap=True)
    for index, command in enumerate(commands):
        console.print(f"{'      ' if index else 'next: '}{command}", markup=False, soft_wrap=True)


def _next_commands(result: OptimizationResult, record: Record, experiment: str | None) -> list[str]:
    """How to resume the run, how to look at it, and how to get its program."""
    resume, where = resume_command(record), record.tracking.experiment
    found = [resume] if resume else []
    if result.tracking_error:
        found.append("dspytrack runs sync")
    found.append(f"dspytrack runs show {result.mlflow_run_id or record.run_id}")
    if result.mlflow_run_id and where not in (None, experiment):
        found.append(f"dspytrack runs search --experiment {shlex.quote(where)}")
    if result.verdict is not None:  # else it ended before it had a program
        pull = f"dspytrack model pull {result.mlflow_run_id} -o model/"
        found.append(pull if result.mlflow_run_id else predict_command(str(record.artifacts / "models")))
    return found
