"""`.env.mlflow`, read and changed without losing what a person wrote: a value that is replaced stays as a comment.

Owns that each write is whole (a reader sees the old file or the new one) and leaves mode 600. Parsing a line and
putting another in its place is python-dotenv's.
"""

from __future__ import annotations

import os
import re
import secrets
import tempfile
import textwrap
from collections.abc import Callable, Collection, Mapping
from io import StringIO
from pathlib import Path

from dotenv import dotenv_values, set_key
from dotenv.parser import parse_stream

from dspytrack.errors import UsageError

_PLAIN = re.compile(r"[\w./:@%+,*=?\[\]-]*")  # read alike by a shell, Compose and dotenv without quotes


def new_secret() -> str:
    """A random password, safe in a URL, an ini file and a shell."""
    return secrets.token_urlsafe(24)


def read_values(path: Path) -> dict[str, str]:
    """The values of an env file that are not empty; none where there is no file."""
    return {name: value for name, value in dotenv_values(path).items() if value} if path.is_file() else {}


def effective_value(path: Path, name: str) -> str | None:
    """A variable's value: the environment wins over the file; None where it is unset or empty in both."""
    return os.environ.get(name) or read_values(path).get(name)


def add_missing(path: Path, wanted: Mapping[str, str | Callable[[], str]]) -> list[str]:
    """Write what is missing or empty; a callable (`new_secret`) is called only then.

    Returns:
        The names written.

    Raises:
        UsageError: where the file cannot be written, or a value has a line break or a single quote.
    """
    present = read_values(path)
    missing = {
        name: value if isinstance(value, str) else value() for name, value in wanted.items() if name not in present
    }
    if missing or path.is_file():
        _write(path, missing)
    return list(missing)


def set_values(path: Path, values: Mapping[str, str]) -> list[str]:
    """Write these values; a different value that was there stays above the new one as a comment.

    Returns:
        The names whose value was there and changed.

    Raises:
        UsageError: where the file cannot be written, or a value has a line break or a single quote.
    """
    present = read_values(path)
    changed = {name: value for name, value in values.items() if present.get(name) != value}
    if changed:
        _write(path, changed)
    return [name for name in changed if name in present]


def _write(path: Path, values: Mapping[str, str]) -> None:
    quoted = {name: _quoted(name, value) for name, value in values.items()}
    target, scratch = path.resolve(), None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        text = target.read_text(encoding="utf-8") if target.is_file() else ""
        with tempfile.NamedTemporaryFile(  # its mode is 600
            "w", encoding="utf-8", dir=target.parent, prefix=f"{target.name}.", delete=False
        ) as file:
            scratch = Path(file.name)
            file.write(_with_old_values_as_comments(text, quoted))
        for name, value in quoted.items():
            set_key(scratch, name, value, quote_mode="never")
        scratch.replace(target)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        if scratch is not None:
            scratch.unlink(missing_ok=True)


def _with_old_values_as_comments(text: str, replaced: Collection[str]) -> str:
    lines = []
    for found in parse_stream(StringIO(text)):
        original = found.original.string
        if found.key in replaced and found.value:
            assignment = original.lstrip()
            lines.append(original.removesuffix(assignment))  # blank lines above it
            lines.append(textwrap.indent(assignment.rstrip(), "# ") + "\n")
            original = assignment
        lines.append(original)
    return "".join(lines)


def _quoted(name: str, value: str) -> str:
    if "\n" in value or "'" in value:
        raise UsageError(f"{name}: a value with a line break or a single quote cannot be written to an env file")
    return value if _PLAIN.fullmatch(value) else f"'{value}'"
