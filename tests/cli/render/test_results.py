"""How a run ended, for people and as JSON."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from dspytrack.cli.render.results import print_result, result_document
from dspytrack.record.store import Record
from dspytrack.results.catalogue import METRIC_NAMES
from dspytrack.results.values import OptimizationResult, RoleUsage
from tests.results.full import full_result


def test_the_json_document_has_each_main_metric_at_its_top_level_and_null_where_it_is_unknown() -> None:
    unknown = result_document(OptimizationResult(record_id="x", record="x", status="failed"))
    assert {name: unknown[name] for name in METRIC_NAMES} == dict.fromkeys(METRIC_NAMES) | {
        "iterations": 0.0,
        "duration_seconds": 0.0,
    }
    full = full_result()
    known = result_document(full)
    assert {name: known[name] for name in full.metrics()} == full.metrics()
    assert (known["usage"]["task"]["calls"], known["comparison"]["baseline"]["success_rate"]) == (0, 1.0)
    assert json.loads(json.dumps(known, allow_nan=False)) == known


def test_people_read_each_measure_of_both_programs_and_what_the_run_cost(tmp_path: Path) -> None:
    answer, record = io.StringIO(), Record.create(tmp_path)
    record.write("request.json", {"significance": {"alpha": 0.1}})
    values: dict[str, Any] = {"verdict": "better", "reason": "p = 0.01", "iterations": 8, "duration_seconds": 183}
    usage = {"task": RoleUsage(calls=475, cost_usd=0.0123)}
    result = full_result(record=str(record.folder), usage=usage, **values)
    record.write("result.json", result)
    print_result(result, False, answer)
    lines = [" ".join(line.replace("│", " ").split()) for line in answer.getvalue().splitlines()]
    assert "cost a task $1.00 $1.00 +$1.00" in lines
    assert "better: p = 0.01" in lines
    assert "improvement +100.0%, score difference +1.000 to +1.000 (90 % interval)" in lines
    assert "475 LM calls, $0.0123, 8 candidates, 183 s" in lines
