"""Builders of records that no run was needed for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dspytrack.lm.metering.usage import Bill
from dspytrack.record.store import Record
from dspytrack.results.values import OptimizationResult


def make_record(root: Path, status: str | None = None, **info: Any) -> Record:
    """A record under a folder, with a result where a status is given.

    Args:
        root: where records are kept.
        status: of the result; without one the run looks as if it was killed.
        info: fields of run.json.
    """
    record = Record.create(root)
    record.update_info(**{"run_name": "a run", "started_at": 1.0} | info)
    if status is not None:
        write_result(record, status=status)
    return record


def write_result(record: Record, **values: Any) -> OptimizationResult:
    """Write a result into a record; "completed" unless another status is given."""
    fields = {"record_id": record.run_id, "record": str(record.folder), "status": "completed"} | values
    result = OptimizationResult.model_validate(fields)
    record.write("result.json", result)
    return result


def write_responses(record: Record, *bills: Bill | None) -> None:
    """Write one response for each bill; None is a response that cost nothing."""
    lines = [
        json.dumps({"key": str(number), "bill": bill and vars(bill), "response": {}})
        for number, bill in enumerate(bills)
    ]
    record.responses.write_text("".join(f"{line}\n" for line in lines))
