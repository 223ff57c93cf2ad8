"""`dspytrack doctor` as tests run it: its checks by name, and the commands that it prints."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from tests.integration.commands import Printed, command

Capture = pytest.CaptureFixture[str]


def doctor(capsys: Capture, *options: str, code: int = 0) -> dict[str, dict[str, Any]]:
    """The checks by name."""
    return by_name(command(capsys, "doctor", "--json", *options, code=code))


def by_name(printed: Printed) -> dict[str, dict[str, Any]]:
    """The checks of a document by name."""
    checks = json.loads(printed.out)["checks"]
    found = {check["name"]: check for check in checks}
    assert len(found) == len(checks) > 10
    assert all((check["fix"] is None) == (check["status"] != "fail") for check in checks)
    return found


def failures(checks: dict[str, dict[str, Any]]) -> list[str]:
    """The names of the checks that failed."""
    return [name for name, check in checks.items() if check["status"] == "fail"]


def typed(capsys: Capture, line: str) -> None:
    """Run a command of ours as doctor printed it."""
    program, *arguments = shlex.split(line)
    assert program == "dspytrack"
    command(capsys, *arguments)
