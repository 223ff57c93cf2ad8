"""Which program the rows of the final evaluation are of: a search that goes on may end with another one."""

from __future__ import annotations

import hashlib
import json

import dspy

from dspytrack.record.store import Record


def keep_rows_of(record: Record, program: dspy.Module) -> None:
    """Leave in the record only optimized rows of this program; those of another one are measured anew."""
    bare = program.deepcopy()
    bare.set_lm(None)
    state = json.dumps(bare.dump_state(json_mode=True), sort_keys=True, default=str)
    digest = hashlib.sha256(state.encode()).hexdigest()
    if record.info.get("tested") != digest:
        record.write_text("rows/optimized.jsonl", "")
        record.note(tested=digest)
