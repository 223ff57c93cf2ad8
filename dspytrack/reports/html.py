"""A record -> one HTML page that needs no network: verdict, metrics, candidates, what changed, every test example."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, Template

from dspytrack.record.store import Record
from dspytrack.reports.charts import HEIGHT, WIDTH, candidate_chart, interval_chart
from dspytrack.results.catalogue import format_value
from dspytrack.results.measures import measures
from dspytrack.results.values import OptimizationResult
from dspytrack.runs.events import Event, Finished


class ReportWriter:
    """A listener that writes the report of a run once it has finished."""

    def __init__(self, record: Record) -> None:
        self._record = record

    def __call__(self, event: Event) -> None:
        """Write the report, where the run has finished."""
        if isinstance(event, Finished):
            write_report(self._record, event.result)


def write_report(record: Record, result: OptimizationResult) -> None:
    """Write artifacts/report.html, which loads nothing from a network."""
    page = _template().render(
        name=record.info.run_name,
        result=result,
        metrics={name: format_value(name, value) for name, value in result.metrics().items()},
        measures=measures(result.comparison) if result.comparison else [],
        interval=interval_chart(result.comparison) if result.comparison else None,
        candidates=candidate_chart(result.candidates),
        examples=_examples(record),
        level=f"{1 - record.request['significance']['alpha']:.0%}",
        width=WIDTH,
        height=HEIGHT,
    )
    record.write_text("artifacts/report.html", page)


def _examples(record: Record) -> dict[str, list[dict[str, Any]]]:
    """The test examples by how their score changed."""
    table = record.read("artifacts/evaluation.json") or {"columns": [], "data": []}
    found: dict[str, list[dict[str, Any]]] = {"lower": [], "higher": [], "failed": [], "same": []}
    for row in table["data"]:
        example = dict(zip(table["columns"], row, strict=True))
        found[_change(example["baseline_score"], example["optimized_score"])].append(example)
    return found


def _change(before: float | None, after: float | None) -> str:
    if before is None or after is None:
        return "failed"
    return "same" if before == after else "higher" if after > before else "lower"


@lru_cache
def _template() -> Template:
    source = files("dspytrack.reports").joinpath("report.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["metric"] = lambda value, name, signed=False: format_value(name, value, signed)
    return environment.from_string(source)
