"""A record -> one offline HTML page: verdict, figures, candidates, what changed, every test example."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

from jinja2 import Environment, Template

from dspytrack.optimization.record import Record
from dspytrack.result import OptimizationResult


def write_report(record: Record, result: OptimizationResult) -> None:
    """Write artifacts/report.html; it needs no network to be read."""
    table = record.read("artifacts/evaluation.json") or {"columns": [], "data": []}
    page = _template().render(
        name=record.info.get("run_name", record.run_id),
        result=result,
        metrics=result.metrics(),
        columns=table["columns"],
        rows=table["data"],
    )
    record.write_text("artifacts/report.html", page)


@lru_cache
def _template() -> Template:
    source = files("dspytrack.report").joinpath("report.html.j2").read_text(encoding="utf-8")
    return Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(source)
