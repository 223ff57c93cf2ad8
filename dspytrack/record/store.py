"""The run directory: everything a run knows is on disk here before it is sent anywhere.

Only this file knows the folder's layout. `artifacts/` holds the tree that MLflow gets, as it gets it.

    .dspytrack/runs/<run_id>/
      run.json              name, times, fingerprints, versions, sizes of the splits, tags
      request.json          the whole resolved request
      splits.json           example ids of train, val and test
      rows/<side>.jsonl     one Row a line, side = baseline | optimized
      candidates.jsonl      one Candidate a line
      result.json           the OptimizationResult
      tracking.json         which MLflow run this is projected to, and what has been sent
      responses.jsonl       one LM response a line, with what it cost
      lock                  held by the process that runs it
      log.txt               what optimizers and libraries print
      artifacts/            training_data.json, evaluation.json, models/ …
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from dspytrack.errors import ConfigError, DamagedError, NotFoundError
from dspytrack.record.lock import held, is_held
from dspytrack.results.values import Candidate, OptimizationResult, Row

V = TypeVar("V", bound=BaseModel)
RUNS_DIR = Path(".dspytrack/runs")
INPUTS = ("training_data.json", "algorithm_parameters.json", "config.yaml")
"""The artifacts that are there from the start."""
UNFINISHED = ("interrupted", "failed")
"""The states of runs that can be gone on with."""


class Record:
    """One run's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

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

    def write(self, name: str, value: Any) -> Path:
        """Put a JSON document in place at once and for good (temporary file, fsync, rename)."""
        data = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
        return self.write_text(name, json.dumps(data, indent=2, ensure_ascii=False, default=str) + "\n")

    def write_text(self, name: str, text: str) -> Path:
        """Put a text file in place at once and for good."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + ".tmp")
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        return path

    def read(self, name: str) -> Any:
        """A JSON document of the record, or None where it is not there yet.

        Raises:
            DamagedError: where it is no JSON.
        """
        path = self.folder / name
        try:
            return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
        except ValueError as error:
            raise DamagedError(path, str(error)) from error

    def append(self, name: str, value: BaseModel) -> None:
        """Add one JSON line."""
        with (self.folder / name).open("a", encoding="utf-8") as file:
            file.write(value.model_dump_json() + "\n")

    def lines(self, name: str) -> Iterable[bytes]:
        """The whole lines of a JSON-lines file; a torn last line is left out."""
        path = self.folder / name
        if not path.is_file():
            return []
        data = path.read_bytes()  # a line may be torn inside a character, and hold other line ends than this one
        return [line for line in data[: data.rfind(b"\n") + 1].split(b"\n") if line]

    @property
    def seconds(self) -> float:
        """What the sittings took, one that is going on or was killed up to the last thing that it wrote."""
        info = self.info
        noted, last = float(info.get("seconds", 0.0)), info.get("sitting")
        if last is None or info.get("ended_at") is not None:
            return noted
        return max(noted, float(last["seconds_before"]) + self.last_written - float(last["began_at"]))

    def sit_down(self) -> float:
        """Begin a sitting; the seconds that earlier ones took."""
        before, last = self.seconds, self.info.get("sitting")
        number = (last["number"] if last else 0) + 1
        self.note(sitting={"number": number, "began_at": now(), "seconds_before": before}, ended_at=None)
        return before

    def mend(self) -> None:
        """Make a record whose process was killed fit to go on: torn last lines go, rows that failed are run again.

        Candidates are scored again as the search is replayed.
        """
        for side in ("baseline", "optimized"):
            kept = [row.model_dump_json() for row in self.rows(side) if row.error is None]
            self.write_text(f"rows/{side}.jsonl", "".join(f"{line}\n" for line in kept))
        self.write_text("candidates.jsonl", "")
        (self.folder / "result.json").unlink(missing_ok=True)

    def rows(self, side: str) -> list[Row]:
        """The evaluated rows of "baseline" or "optimized"."""
        return self._values(f"rows/{side}.jsonl", Row)

    def candidates(self) -> list[Candidate]:
        """The candidate programs scored so far."""
        return self._values("candidates.jsonl", Candidate)

    def _values(self, name: str, kind: type[V]) -> list[V]:
        found = []
        for number, line in enumerate(self.lines(name), start=1):
            try:
                found.append(kind.model_validate_json(line, extra="ignore"))
            except ValidationError as error:
                raise DamagedError(f"{self.folder / name}:{number}", error.errors()[0]["msg"]) from error
        return found

    @property
    def request(self) -> dict[str, Any]:
        """The resolved request as plain data."""
        found = self.read("request.json")
        return found if isinstance(found, dict) else {}

    @property
    def info(self) -> dict[str, Any]:
        """run.json: run_name, started_at, ended_at (seconds since 1970; None while a sitting goes on), tags, params."""
        found = self.read("run.json")
        return found if isinstance(found, dict) else {}

    @property
    def result(self) -> OptimizationResult | None:
        """The result, once there is one; what another version wrote into it besides is passed over.

        Raises:
            DamagedError: where it cannot be read.
        """
        found = self.read("result.json")
        try:
            return OptimizationResult.model_validate(found, extra="ignore") if found else None
        except ValidationError as error:
            first = error.errors()[0]
            what = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
            raise DamagedError(self.folder / "result.json", what) from error

    @property
    def last_written(self) -> float:
        """When the run itself last wrote something (seconds since 1970); looking at it and sending it do not count."""
        others = ("lock", "tracking.json")
        files = (path for path in self.folder.rglob("*") if path.is_file() and path.name not in others)
        return max(path.stat().st_mtime for path in files)

    def note(self, **facts: Any) -> None:
        """Add facts to run.json."""
        self.write("run.json", self.info | facts)

    def sync_to_disk(self) -> None:
        """Make what was appended durable; called where a phase ends."""
        for path in [*self.folder.glob("*.jsonl"), *self.folder.glob("rows/*.jsonl")]:
            with path.open("rb") as file:
                os.fsync(file.fileno())


def now() -> float:
    """Seconds since 1970."""
    return time.time()
