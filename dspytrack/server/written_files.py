"""Writes files for a user to keep and edit: never over one that was edited."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dspytrack.errors import UsageError


def write_files(texts: Mapping[Path, str]) -> list[Path]:
    """Write texts into files; a file that has its text already is left as it is.

    All are checked before the first is written.

    Returns:
        The files, written now or before.

    Raises:
        UsageError: for a file that would be overwritten with something else, or where one cannot be written.
    """
    try:
        missing = [path for path, text in texts.items() if not _is_written(path, text)]
        for path in missing:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(texts[path], encoding="utf-8", newline="\n")
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be written: {error.strerror}") from error
    return list(texts)


def _is_written(path: Path, text: str) -> bool:
    if not path.exists():
        return False
    if path.read_bytes() != text.encode():
        raise UsageError(f"{path} is there with another content: write to another folder, or remove it first")
    return True
