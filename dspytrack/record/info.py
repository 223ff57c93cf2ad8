"""What run.json and tracking.json hold: a run's facts beside its rows and result, and what MLflow has of it.

Values only; `store.py` reads and writes the files, and everything else asks it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dspytrack.lm.metering.usage import Tally
from dspytrack.results.values import Value

FORMAT = 4
"""Of a record: raised when records of an older format cannot be resumed."""


class Attempt(Value):
    """One process at work on the run: its number from 1, its start (seconds since 1970), what earlier ones took."""

    number: int
    began_at: float
    seconds_before: float


class Fingerprint(Value):
    """Checksums of what a run was started with: its data, and the user's own modules by path."""

    data: str | None = None
    sources: Mapping[str, str] = {}


class RequestChange(Value):
    """Keys of the request that changed between two attempts, each with what it `was` and `is`."""

    at: float
    keys: Mapping[str, Mapping[str, Any]]


class BaselineUse(Value):
    """What the baseline's evaluation took: wall seconds, and LM use by role."""

    seconds: float
    usage: Mapping[str, Tally]


class RunInfo(Value):
    """run.json. Times are seconds since 1970, `seconds` is the wall time of all attempts, as last written.

    `ended_at` is None while an attempt is at work, `tracked` whether the run is to reach MLflow, `tracking_seconds`
    how long its end waited for that. `optimized_program` is the checksum of the program that the optimized rows are of.
    """

    format: int = 1
    run_name: str
    started_at: float
    ended_at: float | None = None
    seconds: float = 0.0
    attempt: Attempt | None = None
    config: str | None = None
    fingerprint: Fingerprint = Fingerprint()
    versions: Mapping[str, str] = {}
    git_commit: str | None = None
    tags: Mapping[str, str] = {}
    params: Mapping[str, Any] = {}
    changes: tuple[RequestChange, ...] = ()
    baseline_took: BaselineUse | None = None
    optimized_program: str | None = None
    tracked: bool = True
    tracking_seconds: float | None = None

    @property
    def attempts(self) -> int:
        """How many attempts there were, one at work included."""
        return self.attempt.number if self.attempt else 0


class TrackingInfo(Value):
    """tracking.json: the MLflow run of a record, and what of it has been sent.

    `asked_at` is when a server was asked to create the run and had not answered yet, `files_sent` the artifacts'
    checksums by path, `version_sent` the checksum of the result that was sent last.
    """

    tracking_uri: str | None = None
    experiment: str | None = None
    mlflow_run_id: str | None = None
    asked_at: float | None = None
    params_sent: bool = False
    files_sent: Mapping[str, str] = {}
    version_sent: str | None = None
