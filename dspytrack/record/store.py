"""The record of a run: everything a run knows is on disk here before it is sent anywhere.

Only this file knows the folder's layout. `artifacts/` holds the tree that MLflow gets, as it gets it.

    .dspytrack/runs/<run_id>/
      run.json              a RunInfo: name, times, attempts, fingerprints, versions, tags, params
      request.json          the whole resolved request
      splits.json           example ids of train, val and test
      rows/<side>.jsonl     one Row a line, side = baseline | optimized
      candidates.jsonl      one Candidate a line
      result.json           the OptimizationResult
      tracking.json         a TrackingInfo: the record's MLflow run, and what of it has been sent
      responses.jsonl       one LM response a line, with what it cost
      lock                  held by the process at work
      log.txt               what optimizers and libraries print
      artifacts/            training_data.json, evaluation.json, models/ …
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from dspytrack.errors import ConfigError, DamagedError, NotFoundError
from dspytrack.record.files import read_json, read_model, read_values, write_json, write_text
from dspytrack.record.info import Attempt, RunInfo, TrackingInfo
from dspytrack.record.lock import held, is_held
from dspytrack.results.values import Candidate, OptimizationResult, Row

RUNS_DIR = Path(".dspytrack/runs")
INPUTS = ("training_data.json", "algorithm_parameters.json", "config.yaml")
"""The artifacts that are there from the start."""
UNFINISHED = ("interrupted", "failed")
"""The states of runs that can be resumed."""


class Record:
    """One run's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._info_file, self._tracking_file = folder / "run.json", folder / "tracking.json"

    @property
    def run_id(self) -> str:
        """The run's id: the folder's name."""
        return self.folder.name

    @classmethod
    def create(cls, root: Path = RUNS_DIR) -> Record:
        """A new, empty record.

        Raises:
            ConfigError: where the folder cannot be written.
        """
        stamp = datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%S")
        folder = root / f"{stamp}-{secrets.token_hex(3)}"
        try:
            for part in ("rows", "artifacts/models"):
                (folder / part).mkdir(parents=True)
        except OSError as error:
            raise ConfigError(f"the record cannot be written: {error.strerror}", file=root) from error
        return cls(folder)

    @classmethod
    def open(cls, run_id: str, root: Path = RUNS_DIR) -> Record:
        """An existing record by its id.

        Raises:
            NotFoundError: where there is none.
        """
        folder = root / run_id
        if not (folder / "run.json").is_file():
            raise NotFoundError(f"no record of a run {run_id} under {root}")
        return cls(folder)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the record for this process; the lock goes with the process, however that ends.

        Raises:
            UsageError: where another process holds it.
        """
        with held(self.folder / "lock"):
            yield

    @property
    def state(self) -> str:
        """How the run stands: the status of its result, else "running", or "interrupted" where its process is gone.

        Raises:
            DamagedError: where its result cannot be read.
        """
        if is_held(self.folder / "lock"):
            return "running"
        result = self.result  # whoever let go of the lock had written it before
        return "interrupted" if result is None else result.status

    @property
    def responses(self) -> Path:
        """Where the run's LM responses are kept."""
        return self.folder / "responses.jsonl"

    @property
    def artifacts(self) -> Path:
        """The tree of artifacts, as MLflow gets it."""
        return self.folder / "artifacts"

    @property
    def log_file(self) -> Path:
        """What optimizers and libraries print."""
        return self.folder / "log.txt"

    def write(self, name: str, value: Any) -> None:
        """Put a JSON document in place whole."""
        write_json(self.folder / name, value)

    def write_text(self, name: str, text: str) -> None:
        """Put a text file in place whole."""
        write_text(self.folder / name, text)

    def read(self, name: str) -> Any:
        """A JSON document, None where it is not there yet.

        Raises:
            DamagedError: where it is no JSON.
        """
        return read_json(self.folder / name)

    def append(self, name: str, value: BaseModel) -> None:
        """Add one JSON line."""
        with (self.folder / name).open("a", encoding="utf-8") as file:
            file.write(value.model_dump_json() + "\n")

    @property
    def seconds(self) -> float:
        """Wall time of all attempts; one that is at work or was killed counts up to the last thing it wrote."""
        info = self.info
        last = info.attempt
        if last is None or info.ended_at is not None:
            return info.seconds
        return max(info.seconds, last.seconds_before + self.last_written - last.began_at)

    def begin_attempt(self) -> float:
        """Note that a process begins to work on the run; the seconds that earlier attempts took."""
        before, number = self.seconds, self.info.attempts + 1
        self.update_info(attempt=Attempt(number=number, began_at=now(), seconds_before=before), ended_at=None)
        return before

    def repair(self) -> None:
        """Make the record of a killed run ready to be resumed: torn last lines go, rows that failed are run again.

        Candidates are scored again as the search is replayed.
        """
        for side in ("baseline", "optimized"):
            kept = [row.model_dump_json() for row in self.rows(side) if row.error is None]
            self.write_text(f"rows/{side}.jsonl", "".join(f"{line}\n" for line in kept))
        self.write_text("candidates.jsonl", "")
        (self.folder / "result.json").unlink(missing_ok=True)

    def rows(self, side: str) -> list[Row]:
        """The evaluated rows of "baseline" or "optimized".

        Raises:
            DamagedError: where a line cannot be read.
        """
        return read_values(self.folder / f"rows/{side}.jsonl", Row)

    def candidates(self) -> list[Candidate]:
        """The candidate programs scored so far.

        Raises:
            DamagedError: where a line cannot be read.
        """
        return read_values(self.folder / "candidates.jsonl", Candidate)

    @property
    def request(self) -> dict[str, Any]:
        """The resolved request as plain data."""
        found = self.read("request.json")
        return found if isinstance(found, dict) else {}

    @property
    def info(self) -> RunInfo:
        """run.json.

        Raises:
            DamagedError: where it is missing or cannot be read.
        """
        found = read_model(self._info_file, RunInfo)
        if found is None:
            raise DamagedError(self._info_file, "there is no such file")
        return found

    def update_info(self, **fields: Any) -> RunInfo:
        """Set fields of run.json; the first time it is made of them.

        Raises:
            ValidationError: for a field that RunInfo has not, or a value that it does not take.
        """
        found = read_model(self._info_file, RunInfo)
        info = RunInfo(**(dict(found) if found else {}) | fields)
        write_json(self._info_file, info)
        return info

    @property
    def tracking(self) -> TrackingInfo:
        """tracking.json; an empty one where the run has not been sent anywhere.

        Raises:
            DamagedError: where it cannot be read.
        """
        return read_model(self._tracking_file, TrackingInfo) or TrackingInfo()

    def start_tracking(self, **fields: Any) -> None:
        """Begin tracking.json anew with these fields: nothing of the record has been sent yet."""
        write_json(self._tracking_file, TrackingInfo(**fields))

    def update_tracking(self, **fields: Any) -> None:
        """Set fields of tracking.json.

        Raises:
            ValidationError: for a field that TrackingInfo has not, or a value that it does not take.
        """
        self.start_tracking(**dict(self.tracking) | fields)

    @property
    def result(self) -> OptimizationResult | None:
        """The result, once there is one; its record is this folder, wherever it was copied from.

        Raises:
            DamagedError: where it cannot be read.
        """
        return read_model(self.folder / "result.json", OptimizationResult, record_id=self.run_id)

    @property
    def last_written(self) -> float:
        """When an attempt last wrote something (seconds since 1970); its start where it has written nothing yet.

        Only what grows while a run is at work counts: looking at, sending and resuming a record change other files.
        """
        info, grows = self.info, ("rows/*.jsonl", "candidates.jsonl", "responses.jsonl", "log.txt")
        times = [path.stat().st_mtime for pattern in grows for path in self.folder.glob(pattern)]
        return max([info.attempt.began_at if info.attempt else info.started_at, *times])

    def sync_to_disk(self) -> None:
        """Make what was appended durable; called where a phase ends."""
        for path in [*self.folder.glob("*.jsonl"), *self.folder.glob("rows/*.jsonl")]:
            with path.open("rb") as file:
                os.fsync(file.fileno())


def now() -> float:
    """Seconds since 1970."""
    return time.time()
