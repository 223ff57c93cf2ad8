"""Sends the records that have not reached the tracking server yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from dspytrack.errors import DamagedError, UsageError
from dspytrack.record.index import find, read_each
from dspytrack.record.store import RUNS_DIR, Record
from dspytrack.tracking.config import MLflowConfig
from dspytrack.tracking.export import is_sent, publish


def unsent(
    config: MLflowConfig, runs_dir: Path = RUNS_DIR, warn: Callable[[str], None] = lambda _: None
) -> list[Record]:
    """Records that a store lacks, oldest first: of runs that have ended and are to be tracked.

    Args:
        config: the store.
        runs_dir: where records are kept.
        warn: is given a line for each record that is damaged and left out.
    """

    def lacks(record: Record) -> bool:
        return record.info.tracked and not is_sent(record, config) and record.state != "running"

    return [record for record, wanted in read_each(lacks, runs_dir, warn) if wanted][::-1]


def sync(
    config: MLflowConfig,
    run_id: str | None = None,
    runs_dir: Path = RUNS_DIR,
    warn: Callable[[str], None] = lambda _: None,
) -> Iterator[tuple[Record, str]]:
    """Send every record that a store lacks, or one; each is yielded once it is there, with its MLflow run id.

    Args:
        config: the store.
        run_id: of the one run to send, MLflow's or the record's.
        runs_dir: where records are kept.
        warn: is given a line for each record that is damaged and left out.

    Raises:
        NotFoundError: where no record has that id.
        DamagedError: where the one run's record cannot be read.
        UsageError: where the run is still running, or a record was rejected once the others are sent.
        UnreachableError: where the store does not answer; what was sent before is there, once.
    """
    records = unsent(config, runs_dir, warn) if run_id is None else [find(run_id, runs_dir)]
    rejected: list[str] = []
    for record in records:
        if record.state == "running":
            raise UsageError(f"{record.run_id} is still running; it sends itself at its end")
        try:
            yield record, publish(record, config)
        except (UsageError, DamagedError) as error:  # of this record alone: the others are sent
            rejected.append(f"{record.run_id}: {error}")
    if rejected:
        raise UsageError("; ".join(rejected))
