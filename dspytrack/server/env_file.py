"""`.env.mlflow`: read, extended and changed line by line, so that what a person wrote stays, comments included.

Every write leaves mode 600 and is whole: a reader sees the old file or the new one.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from dotenv import dotenv_values

from dspytrack.errors import UsageError

_PLAIN = re.compile(r"[\w./:@%+,*=?&\[\]~-]*")
_LINE = re.compile(r"\s*(?:export\s+)?(\w+)\s*=")


def new_secret() -> str:
    """A random password, safe in a URL, an ini file and a shell."""
    return secrets.token_urlsafe(24)


def read(path: Path) -> dict[str, str]:
    """The values of an env file that are not empty; none where there is no file."""
    return {name: value for name, value in dotenv_values(path).items() if value} if path.is_file() else {}


def effective(path: Path, name: str) -> str | None:
    """A variable's value: the environment wins over the file; empty is none."""
    return os.environ.get(name) or read(path).get(name)


def extend(path: Path, wanted: Mapping[str, str | Callable[[], str]]) -> list[str]:
    """Write what is missing or empty; a callable (`new_secret`) is called only then.

    Returns:
        The names written.

    Raises:
        UsageError: where the file cannot be written or a value has a line break.
    """
    there = read(path)
    missing = {
        name: value if isinstance(value, str) else value() for name, value in wanted.items() if name not in there
    }
    if missing or path.is_file():
        _write(path, missing)
    return list(missing)


def put(path: Path, values: Mapping[str, str]) -> list[str]:
    """Write these values; another value that stood there stays above the new one as a comment.

    Returns:
        The names whose value changed.

    Raises:
        UsageError: where the file cannot be written or a value has a line break.
    """
    there = read(path)
    changed = {name: value for name, value in values.items() if there.get(name) != value}
    if changed:
        _write(path, changed)
    return [name for name in changed if name in there]


def _write(path: Path, values: Mapping[str, str]) -> None:
    target = path.resolve()
    text = target.read_text(encoding="utf-8") if target.is_file() else ""
    lines = _merged(text.splitlines(), {name: f"{name}={_quoted(name, value)}" for name, value in values.items()})
    scratch = target.with_name(f"{target.name}.{os.getpid()}.new")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch.touch(mode=0o600, exist_ok=False)
        scratch.write_text("\n".join(lines) + "\n", encoding="utf-8")
        scratch.replace(target)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from error


def _merged(lines: list[str], wanted: dict[str, str]) -> list[str]:
    """The lines with each wanted assignment in place of the one it replaces, or at the end."""
    merged: list[str] = []
    left = dict(wanted)
    for line in lines:
        found = _LINE.match(line)
        name = found.group(1) if found else ""
        if name not in wanted:
            merged.append(line)
            continue
        if line.split("=", 1)[1].strip():
            merged.append(f"# {line.strip()}")
        if name in left:
            merged.append(left.pop(name))
    return [*merged, *left.values()]


def _quoted(name: str, value: str) -> str:
    if "\n" in value or "'" in value:
        raise UsageError(f"{name}: a value with a line break or a single quote cannot be kept in an env file")
    return value if _PLAIN.fullmatch(value) else f"'{value}'"
