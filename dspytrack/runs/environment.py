"""What a run was made with besides its request: package versions, the git commit, checksums of the user's modules."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from dspytrack.record.checksum import sha256_of


def versions() -> dict[str, str]:
    """Versions of dspytrack, dspy, mlflow and Python."""
    return {name: version(name) for name in ("dspytrack", "dspy", "mlflow")} | {"python": platform.python_version()}


def git_commit(folder: Path) -> str | None:
    """The commit that a folder is at; None outside a checkout."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None if found.returncode == 0 else None


def source_checksums(folder: Path) -> dict[str, str]:
    """Checksums of the user's own modules by path: those that were imported from a folder."""
    folder = folder.resolve()
    found = {}
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] == "dspytrack":
            continue
        path = Path(getattr(module, "__file__", None) or "/")
        if path.is_relative_to(folder) and "site-packages" not in path.parts and path.suffix == ".py":
            found[str(path.relative_to(folder))] = sha256_of(path)
    return found
