"""What a record says of an attempt whose process is gone: the use it had, and which of its rows still count.

The record itself is made ready for a new attempt by `Record.repair`.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from dspytrack.lm.metering.response_log import key_and_bill
from dspytrack.lm.metering.usage import Tally
from dspytrack.record.files import read_lines
from dspytrack.record.store import Record
from dspytrack.results.values import OptimizationResult, RoleUsage

if TYPE_CHECKING:
    import dspy


def result_so_far(record: Record) -> OptimizationResult:
    """The result of a run that was killed before it could write one: its LM use, time and candidates.

    Raises:
        DamagedError: where the record cannot be read.
    """
    candidates = record.candidates()
    return OptimizationResult(
        record_id=record.run_id,
        record=str(record.folder),
        status="interrupted",
        usage=_usage(record),
        duration_seconds=record.seconds,
        candidates=candidates,
        iterations=len({one.step for one in candidates}),
    )


def _usage(record: Record) -> dict[str, RoleUsage]:
    """Billed calls by role; those that were cached, failed or retried are known to the process alone."""
    tallies: dict[str, Tally] = {}
    for line in read_lines(record.responses):
        try:
            _, bill = key_and_bill(line)
        except ValueError:  # the request is sent again when the run is resumed
            continue
        if bill is not None:
            tallies.setdefault(bill.role, Tally()).add(bill)
    return {role: tally.usage() for role, tally in sorted(tallies.items())}


def keep_only_rows_of(record: Record, program: dspy.Module) -> None:
    """Drop the optimized rows of any other program: the search of a resumed run may end with another one."""
    bare = program.deepcopy()
    bare.set_lm(None)
    state = json.dumps(bare.dump_state(json_mode=True), sort_keys=True, default=str)
    checksum = hashlib.sha256(state.encode()).hexdigest()
    if record.info.optimized_program != checksum:
        record.write_text("rows/optimized.jsonl", "")
        record.update_info(optimized_program=checksum)
