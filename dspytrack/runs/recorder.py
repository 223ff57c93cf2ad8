"""Writes a run's events into its record: rows and candidates as they come, the result at the end."""

from __future__ import annotations

from dspytrack.record.store import Record, now
from dspytrack.runs.events import CandidateScored, Event, Finished, PhaseEnded, RowScored


class Recorder:
    """A listener that keeps what happens in a record."""

    def __init__(self, record: Record) -> None:
        self._record = record

    def __call__(self, event: Event) -> None:
        """Write one event, where it is one that is kept."""
        record = self._record
        match event:
            case RowScored(side, row, True):
                record.append(f"rows/{side}.jsonl", row)
            case CandidateScored(candidate):
                record.append("candidates.jsonl", candidate)
            case PhaseEnded(_, seconds):
                record.sync_to_disk()
                record.update_info(seconds=seconds)
            case Finished(result, seconds):
                record.update_info(ended_at=now(), seconds=seconds)
                record.write_text("artifacts/key_improvements.txt", "\n".join(result.key_improvements) + "\n")
                record.write("result.json", result)  # with it the run has ended: what it needs was written before
            case _:
                pass
