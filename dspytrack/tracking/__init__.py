"""From a record to MLflow and back; knows MLflow, runs no optimizer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dspytrack.tracking.config import MLflowConfig
    from dspytrack.tracking.tracker import MLflowTracker

__all__ = ["MLflowConfig", "MLflowTracker"]


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for."""
    if name == "MLflowConfig":
        from dspytrack.tracking.config import MLflowConfig

        return MLflowConfig
    if name == "MLflowTracker":
        from dspytrack.tracking.tracker import MLflowTracker

        return MLflowTracker
    raise AttributeError(name)
