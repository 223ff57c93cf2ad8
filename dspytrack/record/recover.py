"""What a run took so far, read from its record: of a run whose process was killed no other word is left."""

from __future__ import annotations

import orjson

from dspytrack.lm.metering.usage import Bill, Tally
from dspytrack.record.store import Record
from dspytrack.results.values import OptimizationResult, RoleUsage


def so_far(record: Record) -> OptimizationResult:
    """The result of a run that was cut off before it could write one: its use, time and candidates."""
    candidates = record.candidates()
    return OptimizationResult(
        run_id=record.run_id,
        record=str(record.folder),
        status="interrupted",
        usage=_usage(record),
        duration_seconds=record.seconds,
        candidates=candidates,
        iterations=len({one.step for one in candidates}),
    )


def _usage(record: Record) -> dict[str, RoleUsage]:
    """Billed calls by role; those that were cached, failed or tried again are known to the process alone."""
    tallies: dict[str, Tally] = {}
    for line in record.lines(record.responses.name):
        try:
            found = orjson.loads(line)["bill"]
            bill = Bill(**found) if found else None
        except (orjson.JSONDecodeError, KeyError, TypeError):  # damaged: asked for again when the run is resumed
            continue
        if bill is not None:
            tallies.setdefault(bill.role, Tally()).add(bill)
    return {role: tally.usage() for role, tally in sorted(tallies.items())}
