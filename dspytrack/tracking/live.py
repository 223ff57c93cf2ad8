"""A run in MLflow while it goes: begun in the background, finished within a deadline, never holding the run up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from dspytrack.config.masking import masked
from dspytrack.errors import DspytrackError
from dspytrack.record.store import Record, now
from dspytrack.results.values import OptimizationResult
from dspytrack.runs.events import Event, Finished, Started
from dspytrack.tracking.client import prepare
from dspytrack.tracking.config import MLflowConfig
from dspytrack.tracking.export import begin, publish

FINISH_SECONDS = 10.0  # all that a run waits for MLflow
PREPARE_SECONDS = 60.0  # MLflow's import and a new SQLite store, on a machine that is busy with many runs
SECOND_TRY_SECONDS = 5.0  # where the server did not answer at the start
INTERRUPTED_SECONDS = 2.0


class LiveRun:
    """A listener that shows a run in MLflow while it goes, and sends all of it at its end."""

    def __init__(self, record: Record, config: MLflowConfig) -> None:
        self._record, self._config = record, config
        self._prepared = threading.Event()
        self._begin: _Background | None = None
        self._mlflow_run_id: str | None = None
        self._error: str | None = None

    def __call__(self, event: Event) -> None:
        """Begin with the run, and send it once it has finished and its record is written."""
        match event:
            case Started():
                self._begin = _Background(self._started)
            case Finished(result):
                began = now()
                self._send(result)
                self._record.update_info(tracking_seconds=now() - began)
            case _:
                pass

    def with_tracking(self, result: OptimizationResult) -> OptimizationResult:
        """The result with its MLflow run's id, or with what kept it from being sent."""
        if self._mlflow_run_id is None:
            return result.model_copy(update={"tracking_error": self._error})
        where = {"mlflow_run_id": self._mlflow_run_id, "tracking_uri": self._config.shown}
        return result.model_copy(update=where)

    def _started(self) -> str:
        try:
            prepare(self._config)
        finally:
            self._prepared.set()
        return begin(self._record, self._config)

    def _send(self, result: OptimizationResult) -> None:
        """Send the whole record; what does not arrive in time is left to `runs sync`."""
        assert self._begin is not None  # a run that finished has started
        allowed = INTERRUPTED_SECONDS if result.status == "interrupted" else FINISH_SECONDS
        if result.status != "interrupted":
            self._prepared.wait(PREPARE_SECONDS)
        until = time.monotonic() + allowed
        self._begin.wait(allowed)
        if self._begin.running:
            self._error = f"{self._config.shown} does not answer"
            return
        if self._begin.error is not None:
            until = min(until, time.monotonic() + SECOND_TRY_SECONDS)
        sending = _Background(lambda: publish(self._record, self._config))
        sending.wait(max(1.0, until - time.monotonic()))
        self._mlflow_run_id = sending.value
        self._error = sending.error or f"{self._config.shown} did not take it within {allowed:g} s"


class _Background:
    """Work in a thread that nobody has to wait for: its value, or its error as a sentence."""

    def __init__(self, work: Callable[[], str]) -> None:
        self.value: str | None = None
        self.error: str | None = None
        self._work = work
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.value = self._work()
        except DspytrackError as error:
            self.error = str(error)
        except Exception as error:  # noqa: BLE001 - reported as the reason; a run's end never depends on MLflow
            self.error = masked(f"{type(error).__name__}: {error}")

    def wait(self, seconds: float) -> None:
        """Until it has ended, so long at most."""
        self._thread.join(seconds)

    @property
    def running(self) -> bool:
        """Whether it is still at work."""
        return self._thread.is_alive()
