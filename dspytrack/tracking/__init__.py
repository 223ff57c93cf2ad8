"""From a record to MLflow and back; knows MLflow, runs no optimizer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dspytrack.tracking.config import MLflowConfig
    from dspytrack.tracking.query import MLflowTracker

__all__ = ["ENV_FILE", "MLflowConfig", "MLflowTracker"]

ENV_FILE = Path(".env.mlflow")
"""Where settings are kept, beside what they are for; here, because every command names it and few need the rest."""


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for."""
    if name == "MLflowConfig":
        from dspytrack.tracking.config import MLflowConfig

        return MLflowConfig
    if name == "MLflowTracker":
        from dspytrack.tracking.query import MLflowTracker

        return MLflowTracker
    raise AttributeError(name)
