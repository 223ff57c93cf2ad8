"""What a marker asks of the machine: a test marked `engine` is skipped where no Docker engine answers, never in CI."""

from __future__ import annotations

import os

import pytest

from tests.integration import engine


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose engine is missing; where CI is set, fail it."""
    if item.get_closest_marker("engine") is None or not engine.why_none():
        return
    if os.environ.get("CI"):
        pytest.fail(f"{engine.why_none()}, and CI may not skip this test", pytrace=False)
    pytest.skip(engine.why_none())
