"""The command that resumes a run which was cut off."""

from __future__ import annotations

import shlex

from dspytrack.record.store import UNFINISHED, Record
from dspytrack.runs.changes import CAPS


def resume_command(record: Record, state: str | None = None) -> str | None:
    """What to type to resume a run, one that a cap ended before its comparison included; None for others.

    Args:
        record: of the run.
        state: that it is in as soon as its process releases the record; as it is now by default.

    Raises:
        DamagedError: where the record cannot be read.
    """
    state, more = state or record.state, ""
    if state == "budget_reached" and record.result is not None and record.result.verdict is None:
        more = _more_room(record, record.result.reason)
    elif state not in UNFINISHED:
        return None
    return f"dspytrack optimize {shlex.quote(record.info.config or 'CONFIG')} --resume --run {record.run_id}{more}"


def _more_room(record: Record, reason: str) -> str:
    """The setting that raises the cap which a run has reached: doubled, or none where it could not be kept."""
    caps = record.request.get("constraints") or {}
    name = next((name for name in CAPS if name in reason), None)
    if name is None or not caps.get(name):
        return ""
    room = "null" if not reason.startswith(name) else f"{2 * caps[name]:g}"
    return f" --set constraints.{name}={room}"
