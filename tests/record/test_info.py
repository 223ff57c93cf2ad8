"""run.json and tracking.json as models: what is written is checked, what is read and damaged is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from dspytrack.errors import DamagedError
from dspytrack.lm.metering.usage import Tally
from dspytrack.record.info import BaselineUse, RunInfo, TrackingInfo
from dspytrack.record.store import Record


def begun(root: Path) -> Record:
    """A record with its least run.json."""
    record = Record.create(root)
    record.update_info(run_name="a run", started_at=1.0)
    return record


def test_what_is_written_comes_back_equal(tmp_path: Path) -> None:
    record = begun(tmp_path)
    took = BaselineUse(seconds=2.0, usage={"task": Tally(calls=3, femto_usd=10**15, replayed_seconds=None)})
    written = record.update_info(baseline_took=took, tags={"team": "x"}, params={"depth": 2, "names": ["a"]})
    assert record.info == written
    assert record.info.baseline_took == took
    assert (record.info.run_name, record.info.params["names"]) == ("a run", ["a"])


def test_a_field_that_does_not_exist_or_of_another_type_is_not_written(tmp_path: Path) -> None:
    record = begun(tmp_path)
    with pytest.raises(ValidationError, match="colour"):
        record.update_info(colour="red")
    with pytest.raises(ValidationError, match="ended_at"):
        record.update_info(ended_at="soon")
    with pytest.raises(ValidationError, match="sent"):
        record.update_tracking(sent=True)
    assert record.info == RunInfo(run_name="a run", started_at=1.0)
    assert record.tracking == TrackingInfo()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"run_name": "a run"}', r"run\.json cannot be read: started_at: Field required"),
        ('{"run_name": "a run", "started_at": 1, "attempt": {"number": "x"}}', r"run\.json cannot be read: attempt\."),
        ("[]", r"run\.json cannot be read: Input should be"),
        ('{"run_name": "a r', r"run\.json cannot be read: Unterminated string"),
    ],
)
def test_a_damaged_run_json_names_the_file_and_the_field(tmp_path: Path, text: str, said: str) -> None:
    record = begun(tmp_path)
    (record.folder / "run.json").write_text(text)
    with pytest.raises(DamagedError, match=said):
        _ = record.info


def test_a_missing_run_json_is_a_damaged_record(tmp_path: Path) -> None:
    with pytest.raises(DamagedError, match=r"run\.json cannot be read: there is no such file"):
        _ = Record.create(tmp_path).info


def test_a_damaged_tracking_json_names_the_file_and_the_field(tmp_path: Path) -> None:
    record = begun(tmp_path)
    (record.folder / "tracking.json").write_text('{"files_sent": {"config.yaml": 7}}')
    with pytest.raises(DamagedError, match=r"tracking\.json cannot be read: files_sent\.config\.yaml: "):
        _ = record.tracking


def test_tracking_that_starts_anew_forgets_what_another_store_was_sent(tmp_path: Path) -> None:
    record = begun(tmp_path)
    record.start_tracking(tracking_uri="sqlite:///a.db", mlflow_run_id="1")
    record.update_tracking(params_sent=True, version_sent="x")
    assert (record.tracking.mlflow_run_id, record.tracking.version_sent) == ("1", "x")
    record.start_tracking(tracking_uri="sqlite:///b.db")
    assert record.tracking == TrackingInfo(tracking_uri="sqlite:///b.db")


def test_fields_of_another_version_are_ignored_and_a_record_without_a_format_is_the_first(tmp_path: Path) -> None:
    record = begun(tmp_path)
    info = json.loads((record.folder / "run.json").read_text()) | {"of_the_future": 1}
    del info["format"]
    (record.folder / "run.json").write_text(json.dumps(info))
    assert (record.info.run_name, record.info.format) == ("a run", 1)
