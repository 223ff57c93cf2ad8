"""What a run was made with: package versions and the commit of the folder its config lies in."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any


def versions_and_commit(folder: Path) -> dict[str, Any]:
    """Versions of Python, dspytrack, dspy and mlflow, and the git commit (None outside a checkout)."""
    versions = {name: version(name) for name in ("dspytrack", "dspy", "mlflow")}
    return {"versions": versions | {"python": platform.python_version()}, "git_commit": _commit(folder)}


def _commit(folder: Path) -> str | None:
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None if found.returncode == 0 else None
