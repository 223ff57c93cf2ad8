"""Which records a store lacks, and how they get there."""

from __future__ import annotations

from pathlib import Path

import mlflow
import pytest

from dspytrack.errors import DamagedError, NotFoundError, UsageError
from dspytrack.record.store import Record
from dspytrack.tracking import MLflowConfig
from dspytrack.tracking.sync import sync, unsent
from tests.support.records import make_record


def test_what_a_store_lacks_is_sent_oldest_first_and_once(
    config: MLflowConfig, client: mlflow.MlflowClient, tmp_path: Path
) -> None:
    for name in ("20260301-000000-aaaaaa", "20260101-000000-aaaaaa", "20260201-000000-aaaaaa"):
        make_record(tmp_path, "completed").folder.rename(tmp_path / name)
    sent = [record.run_id for record, _ in sync(config, runs_dir=tmp_path)]
    assert sent == sorted(path.name for path in tmp_path.iterdir())
    assert unsent(config, tmp_path) == [] == list(sync(config, runs_dir=tmp_path))
    experiment = client.get_experiment_by_name(config.experiment_name)
    assert len(client.search_runs([experiment.experiment_id])) == 3


def test_runs_that_are_at_work_and_those_that_are_not_tracked_are_left_out(
    config: MLflowConfig, tmp_path: Path
) -> None:
    running, _ = make_record(tmp_path), make_record(tmp_path, "completed", tracked=False)
    killed = make_record(tmp_path)
    with running.locked():
        assert [record.run_id for record in unsent(config, tmp_path)] == [killed.run_id]
        with pytest.raises(UsageError, match=f"{running.run_id} is still running; it sends itself at its end"):
            list(sync(config, running.run_id, tmp_path))


def test_one_run_is_sent_by_either_of_its_ids_and_an_untracked_one_where_it_is_named(
    config: MLflowConfig, tmp_path: Path
) -> None:
    record, other = make_record(tmp_path, "completed", tracked=False), make_record(tmp_path, "completed")
    [(_, run_id)] = sync(config, record.run_id, tmp_path)
    assert [(one.run_id, sent) for one, sent in sync(config, run_id, tmp_path)] == [(record.run_id, run_id)]
    assert [one.run_id for one in unsent(config, tmp_path)] == [other.run_id]
    with pytest.raises(NotFoundError, match="no record of a run nothing"):
        list(sync(config, "nothing", tmp_path))


def test_a_damaged_record_is_warned_of_and_keeps_no_other_from_being_sent(config: MLflowConfig, tmp_path: Path) -> None:
    whole = make_record(tmp_path, "completed")
    for name in ("result.json", "candidates.jsonl"):
        (make_record(tmp_path).folder / name).write_text("{\n")
    warned: list[str] = []
    sent: list[Record] = []
    with pytest.raises(UsageError, match=r"candidates\.jsonl:1 cannot be read"):
        for record, _ in sync(config, None, tmp_path, warned.append):
            sent.append(record)
    assert [record.run_id for record in sent] == [whole.run_id]
    assert len(warned) == 1 and "result.json cannot be read" in warned[0] and warned[0].endswith("; left out")


def test_one_damaged_record_that_is_named_is_an_error(config: MLflowConfig, tmp_path: Path) -> None:
    record = make_record(tmp_path, "completed")
    (record.folder / "result.json").write_text("{")
    with pytest.raises(DamagedError, match=r"result\.json cannot be read"):
        list(sync(config, record.run_id, tmp_path))
