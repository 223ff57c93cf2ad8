"""A running run's way into MLflow: begun in the background, finished within a deadline, never in the run's way."""

from __future__ import annotations

import threading

from dspytrack.errors import DspytrackError
from dspytrack.optimization.record import Record
from dspytrack.result import OptimizationResult
from dspytrack.tracking import projection
from dspytrack.tracking.config import MLflowConfig

FINISH_SECONDS = 10.0
INTERRUPTED_SECONDS = 2.0


class LiveRun:
    """Shows a run in MLflow while it goes, and sends all of it at its end."""

    def __init__(self, record: Record, config: MLflowConfig) -> None:
        self._record, self._config = record, config
        self._begun: str | None = None
        self._error: str | None = None
        self._beginning = threading.Thread(target=self._begin, daemon=True)
        self._beginning.start()

    def _begin(self) -> None:
        try:
            self._begun = projection.begin(self._record, self._config)
        except DspytrackError as error:
            self._error = str(error)

    def finish(self, result: OptimizationResult) -> OptimizationResult:
        """Send the whole record; what does not arrive in time is left to `runs sync`.

        Args:
            result: as written to the record.

        Returns:
            The result with its MLflow run id, or with `tracking_error`.
        """
        allowed = INTERRUPTED_SECONDS if result.status == "interrupted" else FINISH_SECONDS
        self._beginning.join(allowed)
        if self._beginning.is_alive() or self._error is not None:
            return result.model_copy(update={"tracking_error": self._error or f"{self._config.shown} does not answer"})
        sent: list[str] = []
        failed: list[str] = []

        def send() -> None:
            try:
                sent.append(projection.publish(self._record, self._config))
            except DspytrackError as error:
                failed.append(str(error))

        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        thread.join(allowed)
        if not sent:
            why = failed[0] if failed else f"{self._config.shown} took longer than {allowed:g} s"
            return result.model_copy(update={"tracking_error": why})
        shown = {"mlflow_run_id": sent[0], "run_id": sent[0], "tracking_uri": self._config.shown}
        return result.model_copy(update=shown)
