"""A detached process: is it still the one that was started, and its end with all it started."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from dspytrack.errors import UnreachableError

_TERM_SECONDS, _KILL_SECONDS = 15, 5


def began(pid: int) -> str:
    """When a living process began: with its number, what tells it from all others. Empty where none lives."""
    proc = Path("/proc")
    if (proc / "self" / "stat").is_file():
        fields = _proc_fields(proc / str(pid))
        return fields[19] if fields and fields[0] != "Z" else ""
    done = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, start = done.stdout.strip().partition(" ")
    return "" if state.startswith("Z") else start.strip()


def stop_group(pid: int) -> None:
    """End a session's leader and every process of its group.

    Raises:
        UnreachableError: where they do not end.
    """
    for number, seconds in ((signal.SIGTERM, _TERM_SECONDS), (signal.SIGKILL, _KILL_SECONDS)):
        os.killpg(pid, number)
        for _ in range(seconds * 10):
            if not _group_lives(pid):
                return
            time.sleep(0.1)
    raise UnreachableError(f"the server (process {pid}) does not end")


def _group_lives(group: int) -> bool:
    proc = Path("/proc")
    if (proc / "self" / "stat").is_file():
        rows = [_proc_fields(entry) for entry in proc.iterdir() if entry.name.isdigit()]
        return any(row and row[0] != "Z" and row[2] == str(group) for row in rows)
    done = subprocess.run(["ps", "-eo", "pgid=,stat="], capture_output=True, text=True, check=False)
    return any(
        line.split()[0] == str(group) and not line.split()[1].startswith("Z") for line in done.stdout.splitlines()
    )


def _proc_fields(entry: Path) -> list[str]:
    """The fields of /proc/PID/stat after the name: state, parent, group, …; none where the process is gone."""
    try:
        return (entry / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
