"""Sends records to MLflow and reads runs back; the only package that talks to MLflow, and it runs no optimizer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dspytrack.tracking.config import MLflowConfig
    from dspytrack.tracking.query import MLflowTracker

__all__ = ["ENV_FILE", "MLflowConfig", "MLflowTracker"]

ENV_FILE = Path(".env.mlflow")
"""The file that settings are kept in. It is named here because every command needs it and few need the rest."""


def __getattr__(name: str) -> Any:
    """Import a name when it is first used."""
    if name == "MLflowConfig":
        from dspytrack.tracking.config import MLflowConfig

        return MLflowConfig
    if name == "MLflowTracker":
        from dspytrack.tracking.query import MLflowTracker

        return MLflowTracker
    raise AttributeError(name)
