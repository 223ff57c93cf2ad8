"""The command line in the tests' own process: as `dspytrack` runs it, without the seconds that imports take."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest

from dspytrack.cli.main import main


@dataclass(frozen=True)
class Printed:
    """The result of a command."""

    code: int
    out: str
    err: str
    seconds: float


def command(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Printed:
    """Run `dspytrack …`, which must end with the exit code `code`."""
    capsys.readouterr()
    started = time.monotonic()
    with mock.patch.object(sys, "argv", ["dspytrack", *arguments]), pytest.raises(SystemExit) as end:
        main()
    took = time.monotonic() - started
    out, err = capsys.readouterr()
    assert end.value.code == code, err or out
    return Printed(code, out, err, took)


@contextlib.contextmanager
def entered(folder: Path) -> Iterator[Path]:
    """Make a folder the working one, in an environment without settings of ours, while the block runs."""
    ours = ("MLFLOW_", "AWS_", "OPENAI_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    before = Path.cwd()
    os.chdir(folder)
    try:
        with mock.patch.dict(os.environ, kept, clear=True):
            yield folder
    finally:
        os.chdir(before)


def write_settings(folder: Path, **settings: str) -> None:
    """Write `.env.mlflow`, for this user alone."""
    file = folder / ".env.mlflow"
    file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()), encoding="utf-8")
    file.chmod(0o600)
