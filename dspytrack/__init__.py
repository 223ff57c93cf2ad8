"""Tracked DSPy optimization runs.

What is listed here is the public surface. Each name is imported when it is first used: importing this package imports
neither dspy nor mlflow.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dspytrack.config.loader import load_request
    from dspytrack.config.schema import OptimizationRequest
    from dspytrack.errors import (
        ChangedError,
        ConfigError,
        DamagedError,
        DspytrackError,
        NotFoundError,
        RunStop,
        UnreachableError,
        UsageError,
    )
    from dspytrack.pipeline import OptimizationPipeline
    from dspytrack.programs.package import load as load_model
    from dspytrack.results.values import OptimizationResult
    from dspytrack.tracking.config import MLflowConfig
    from dspytrack.tracking.query import MLflowTracker

__version__ = "0.1.0"
__all__ = [
    "ChangedError",
    "ConfigError",
    "DamagedError",
    "DspytrackError",
    "MLflowConfig",
    "MLflowTracker",
    "NotFoundError",
    "OptimizationPipeline",
    "OptimizationRequest",
    "OptimizationResult",
    "RunStop",
    "UnreachableError",
    "UsageError",
    "load_model",
    "load_request",
]
_PLACES = {
    "MLflowConfig": "dspytrack.tracking.config",
    "MLflowTracker": "dspytrack.tracking.query",
    "OptimizationPipeline": "dspytrack.pipeline",
    "OptimizationRequest": "dspytrack.config.schema",
    "OptimizationResult": "dspytrack.results.values",
    "load_model": "dspytrack.programs.package",
    "load_request": "dspytrack.config.loader",
}
_OTHERWISE_NAMED = {"load_model": "load"}


def __getattr__(name: str) -> Any:
    """Import a public name where it is first used; those without a place of their own are errors."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(_PLACES.get(name, "dspytrack.errors"))
    found = getattr(module, _OTHERWISE_NAMED.get(name, name))
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
