"""The check before a run that every way of calling an LM passes the meter."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from importlib.metadata import requires, version
from pathlib import Path
from typing import Any

import dspy
import pytest
from dspy.clients import execution

from dspytrack.errors import UsageError
from dspytrack.lm.metering.canary import KNOWN, check_metering


def test_every_way_of_calling_an_lm_passes_the_meter() -> None:
    check_metering()


def test_the_check_leaves_dspy_as_it_was() -> None:
    check_metering()
    before = (execution.execute, execution.aexecute, dspy.cache, len(dspy.clients.base_lm.GLOBAL_HISTORY))
    check_metering()
    assert (execution.execute, execution.aexecute, dspy.cache, len(dspy.clients.base_lm.GLOBAL_HISTORY)) == before


def test_a_dspy_that_binds_its_call_by_name_is_refused_with_the_version_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    execute, prepare, finalize = inspect.unwrap(execution.execute), execution.prepare, execution.finalize

    def bound_by_name(self: Any, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
        call = prepare(self, prompt, messages, kwargs)
        return finalize(self, call, execute(self, call))

    monkeypatch.setattr(dspy.BaseLM, "__call__", bound_by_name)
    with pytest.raises(UsageError, match=rf"DSPy {version('dspy')} makes LM calls .*an LM of the run, sync.*=={KNOWN}"):
        check_metering()


def test_a_dspy_whose_awaited_calls_go_elsewhere_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def elsewhere(self: Any, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
        return ["yes"]

    monkeypatch.setattr(dspy.BaseLM, "acall", elsewhere)
    with pytest.raises(UsageError, match="an LM of the program, async, not cached") as refused:
        check_metering()
    assert ", sync" not in str(refused.value)


def test_a_dspy_without_the_parts_that_are_replaced_is_refused_not_a_traceback(tmp_path: Path) -> None:
    code = (
        "import dspy, dspy.clients.execution as e; del e.aexecute\n"
        "from dspytrack.errors import UsageError\n"
        "from dspytrack.lm.metering.canary import check_metering\n"
        "try: check_metering()\n"
        "except UsageError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert "aexecute" in done.stdout and "pip install" in done.stdout, done.stdout + done.stderr


@pytest.mark.integration
@pytest.mark.parametrize("which", ["oldest", "newest"])
def test_the_oldest_and_the_newest_dspy_that_the_bounds_admit_are_metered(which: str, tmp_path: Path) -> None:
    bounds = next(one for one in requires("dspytrack") or () if one.startswith("dspy-ai"))
    below, oldest = re.fullmatch(r"dspy-ai<([\d.]+),>=([\d.]+)", bounds).groups()  # type: ignore[union-attr]
    wanted = f"dspy=={oldest}.0" if which == "oldest" else f"dspy>={oldest},<{below}"
    installer = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path), wanted]
    subprocess.run(installer, check=True, timeout=300)
    code = (
        "import dspy, json; from importlib.metadata import version\n"
        "from dspytrack.lm.metering.canary import check_metering\n"
        "check_metering(); print(json.dumps([dspy.__file__, version('dspy')]))"
    )
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path}, check=False
    )
    assert done.returncode == 0, done.stderr
    place, found = json.loads(done.stdout.splitlines()[-1])
    assert place.startswith(str(tmp_path)) and found.startswith(oldest)
