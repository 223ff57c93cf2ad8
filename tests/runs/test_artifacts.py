"""The files of a run as MLflow gets them."""

from __future__ import annotations

from pathlib import Path

import pytest

from dspytrack.config.loader import load_request
from dspytrack.record.store import Record
from dspytrack.runs.artifacts import write_inputs
from dspytrack.runs.plan import make_plan
from tests.support.configs import write


def test_a_disk_that_fills_up_leaves_no_half_of_the_config_among_the_artifacts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-key")
    folder = write(tmp_path)
    plan = make_plan(load_request(folder / "config.yaml"))
    record = Record.create(folder / "runs")
    write_inputs(record, plan)
    written = (record.artifacts / "config.yaml").read_text()
    assert load_request(record.artifacts / "config.yaml").resolved() == plan.request.resolved()

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("ruamel.yaml.YAML.dump", full)
    with pytest.raises(OSError, match="no space"):
        write_inputs(record, plan)
    assert (record.artifacts / "config.yaml").read_text() == written
