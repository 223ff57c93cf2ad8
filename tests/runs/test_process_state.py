"""A notebook that ran a run is as it was before, whatever the program's own module changed."""

from __future__ import annotations

import logging
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dspy
import numpy as np
import pytest

from dspytrack.pipeline import OptimizationPipeline
from dspytrack.runs.process_state import kept_process_state
from tests.support.lm_server import lm_server
from tests.support.requests import request, rows

MEDDLER = """\
import logging, os, random, sys
import dspy
import numpy as np

dspy.configure(lm=dspy.LM("openai/another"), max_errors=77)
dspy.configure_cache(enable_disk_cache=False)
logging.getLogger().setLevel(logging.CRITICAL)
logging.getLogger().addHandler(logging.NullHandler())
random.seed(5)
np.random.seed(5)
sys.path.insert(0, "/meddled")
os.environ["MEDDLED"] = "yes"
os.environ["A_SETTING"] = "another"
os.environ.pop("A_LOGIN", None)


def build():
    return dspy.Predict("text -> label")
"""


def state() -> dict[str, Any]:
    """What a run must not change."""
    root = logging.getLogger()
    return {
        "settings": (dspy.settings.lm, dspy.settings.max_errors),
        "cache": id(dspy.cache),
        "logger": (root.level, list(root.handlers)),
        "random numbers": (random.getstate(), np.random.get_state()[1].tolist()),  # type: ignore[index,union-attr]
        "import path": list(sys.path),
        "environment": dict(os.environ),
    }


@pytest.fixture(autouse=True)
def _kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-for-loopback")
    monkeypatch.setenv("A_SETTING", "the user's")
    monkeypatch.setenv("A_LOGIN", "the user's")
    yield
    sys.modules.pop("meddler", None)


@pytest.mark.parametrize("fails", [False, True])
def test_all_that_a_module_changes_is_put_back_after_a_block_that_failed_too(fails: bool) -> None:
    before = state()
    try:
        with kept_process_state():
            exec(MEDDLER, {})  # what importing it does
            during = state()
            if fails:
                raise ValueError
    except ValueError:
        assert fails
    assert all(during[name] != before[name] for name in before)
    assert state() == before


def test_a_run_puts_back_all_that_its_program_s_module_changed(tmp_path: Path) -> None:
    (tmp_path / "meddler.py").write_text(MEDDLER)
    pipeline = OptimizationPipeline(enable_tracking=False, runs_dir=tmp_path / "runs")
    with lm_server() as server:
        asked = request(server.api_base, tmp_path, program={"import": "meddler:build"})
        before = state()
        result = pipeline.run(asked, training_data=rows(20))
        after = state()
    assert result.status == "completed" and "meddler" in sys.modules
    assert after == before
