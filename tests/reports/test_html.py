"""The HTML page of a run: it loads nothing, shows values as people read them, and escapes its text."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from dspytrack.pipeline import OptimizationPipeline
from dspytrack.record.store import Record
from dspytrack.reports.charts import HEIGHT, MARGIN, candidate_chart
from dspytrack.reports.html import write_report
from dspytrack.results.values import Candidate
from tests.support.lm_server import lm_server
from tests.support.requests import request, rows


def candidate(step: int, score: float, whole: bool = True) -> Candidate:
    return Candidate(step=step, optimizer="miprov2", score=score, examples=8, whole=whole)


def test_the_line_of_the_best_never_falls_and_ignores_scores_on_some_of_the_examples() -> None:
    chart = candidate_chart([candidate(1, 0.5), candidate(2, 0.9, whole=False), candidate(3, 0.75), candidate(4, 0.25)])
    assert chart is not None
    assert [dot.whole for dot in chart.dots] == [True, False, True, True]
    heights = [float(point.split(",")[1]) for point in chart.best.split()]
    assert heights == sorted(heights, reverse=True)  # y grows downwards
    assert heights[-1] == chart.dots[2].y
    assert chart.grid[0] == (HEIGHT - MARGIN, "0%")


def test_one_candidate_makes_no_chart() -> None:
    assert candidate_chart([candidate(1, 0.5)]) is None


class _Parser(HTMLParser):
    """Collects the text of the page and what it would load."""

    def __init__(self) -> None:
        super().__init__()
        self.text, self.loads = "", []  # type: str, list[str]

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_endtag(self, tag: str) -> None:
        self.text += " "

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [f"{tag} {name}" for name, _ in attrs if name in ("src", "href")]


@pytest.mark.integration
def test_the_page_shows_how_each_example_changed_and_loads_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-for-loopback")
    data = rows(60)
    for row in data:
        row["text"] += " <script>alert(1)</script>"
    with lm_server() as server:
        optimizer = {"name": "bootstrap_random_search", "params": {"num_candidate_programs": 2}}
        asked = request(server.api_base, tmp_path, optimizer=optimizer)
        result = OptimizationPipeline(enable_tracking=False, runs_dir=tmp_path / "runs").run(asked, None, data)
    record = Record(Path(result.record))
    page = (record.artifacts / "report.html").read_text(encoding="utf-8")
    parser = _Parser()
    parser.feed(page)
    assert parser.loads == [] and "<script" not in page and "@import" not in page
    text = re.sub(r"\s+", " ", parser.text)
    assert "success rate 50.0% 100.0% +50.0%" in text
    assert "12 scored higher" in text and "12 scored the same" in text and "scored lower" not in text
    assert "95% bootstrap interval" in text and "exact McNemar" in text
    assert page.count("<circle") == 1 + len(result.candidates)
    assert "improvement_percentage 100.0%" in text


@pytest.mark.integration
def test_a_run_without_a_comparison_has_a_page_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-for-loopback")
    with lm_server() as server:
        server.faults = [401] * 100
        asked = request(server.api_base, tmp_path)
        result = OptimizationPipeline(enable_tracking=False, runs_dir=tmp_path / "runs").run(asked, None, rows(60))
    record = Record(Path(result.record))
    write_report(record, result)
    page = (record.artifacts / "report.html").read_text(encoding="utf-8")
    assert "failed" in page and "refused" in page and "There is no optimized program." in page
