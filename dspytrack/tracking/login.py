"""Which variables log in at a tracking server, and what to say where it refuses."""

from __future__ import annotations

import os
from pathlib import Path

NAME, PASSWORD, TOKEN = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"


def variables() -> tuple[str, ...]:
    """The variables that MLflow logs in by: name and password where both are set, else the token; none without."""
    if os.environ.get(NAME) and os.environ.get(PASSWORD):
        return (NAME, PASSWORD)
    return (TOKEN,) if os.environ.get(TOKEN) else ()


def refused() -> str:
    """What a 401 means here."""
    used = variables()
    if used:
        return f"refuses the login (401) of {' and '.join(used)}"
    half = [name for name in (NAME, PASSWORD) if os.environ.get(name)]
    return f"wants a login (401), and {f'only {half[0]}' if half else 'none'} is set"


def forbidden() -> str:
    """What a 403 means here."""
    used = variables()
    return f"the login of {' and '.join(used)} may not do this (403)" if used else "this is not allowed (403)"


def mend(env_file: Path) -> str:
    """What to set."""
    return f"set {NAME} and {PASSWORD}, or {TOKEN}, in {env_file} or the environment"
