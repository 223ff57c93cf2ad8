"""What tests ask of the machine, and what they keep to themselves.

A test marked `engine` is skipped where no Docker engine answers, never in CI. DSPy's cache is a folder of this worker's
own: no other worker, and no process that a test kills, holds its files. Hypothesis times no example: a busy machine is
no fault of the code.
"""

from __future__ import annotations

import os
import shutil
import tempfile

import pytest
from hypothesis import HealthCheck, settings

from tests.integration import engine

_CACHE = tempfile.mkdtemp(prefix="dspytrack-tests-")
os.environ["DSPY_CACHEDIR"] = _CACHE  # before anything imports DSPy

settings.register_profile("busy machine", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy machine")


def pytest_unconfigure() -> None:
    """Remove DSPy's cache."""
    shutil.rmtree(_CACHE, ignore_errors=True)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose engine is missing; where CI is set, fail it."""
    if item.get_closest_marker("engine") is None or not engine.why_none():
        return
    if os.environ.get("CI"):
        pytest.fail(f"{engine.why_none()}, and CI may not skip this test", pytrace=False)
    pytest.skip(engine.why_none())
