"""The command line in the tests' own process: as `dspytrack` runs it, without the seconds that imports take."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from unittest import mock

import pytest

from dspytrack.cli.main import main


@dataclass(frozen=True)
class Printed:
    """What a command left."""

    code: int
    out: str
    err: str
    seconds: float


def command(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Printed:
    """Run `dspytrack …`, which must end with an exit code."""
    capsys.readouterr()
    began = time.monotonic()
    with mock.patch.object(sys, "argv", ["dspytrack", *arguments]), pytest.raises(SystemExit) as end:
        main()
    took = time.monotonic() - began
    out, err = capsys.readouterr()
    assert end.value.code == code, err or out
    return Printed(code, out, err, took)
