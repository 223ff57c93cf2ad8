"""A run is found in a store by either of its ids."""

from __future__ import annotations

from pathlib import Path

import mlflow
import pytest

from dspytrack.errors import UsageError
from dspytrack.tracking import MLflowConfig
from dspytrack.tracking.export import publish
from dspytrack.tracking.run_ids import RUN_TAG, find_tagged, mlflow_run_id
from tests.support.records import make_record


def test_a_records_id_is_looked_up_in_the_record_before_the_store_is_asked(
    config: MLflowConfig, tmp_path: Path
) -> None:
    record = make_record(tmp_path)
    record.start_tracking(tracking_uri=config.shown, mlflow_run_id="0" * 32)
    nowhere = mlflow.MlflowClient("http://127.0.0.1:9")
    assert mlflow_run_id(nowhere, config, record.run_id, tmp_path) == "0" * 32
    assert mlflow_run_id(nowhere, config, "1" * 32, tmp_path) == "1" * 32


@pytest.mark.parametrize("here", ["no record", "a record of another store", "a damaged record"])
def test_a_records_id_is_looked_up_in_the_store_by_its_tag_in_any_experiment(
    here: str, config: MLflowConfig, client: mlflow.MlflowClient, tmp_path: Path
) -> None:
    record = make_record(tmp_path)
    sent = publish(record, config.model_copy(update={"experiment_name": f"{tmp_path.name}, another"}))
    runs_dir = tmp_path / "missing" if here == "no record" else tmp_path
    if here == "a record of another store":
        record.start_tracking(tracking_uri="sqlite:///other.db", mlflow_run_id="0" * 32)
    elif here == "a damaged record":
        (record.folder / "tracking.json").write_text("{")
    assert mlflow_run_id(client, config, record.run_id, runs_dir) == sent


def test_a_record_that_was_never_sent_says_how_to_send_it(
    config: MLflowConfig, client: mlflow.MlflowClient, tmp_path: Path
) -> None:
    record = make_record(tmp_path)
    with pytest.raises(UsageError) as caught:
        mlflow_run_id(client, config, record.run_id, tmp_path)
    assert str(caught.value) == (
        f"{record.run_id} is not in {config.shown} yet; send it with: dspytrack runs sync {record.run_id}"
    )


@pytest.mark.parametrize("run_id", ["nothing", "it's `no` id", "", "../x"])
def test_an_id_that_nobody_knows_is_left_for_mlflow_to_reject(
    run_id: str, config: MLflowConfig, client: mlflow.MlflowClient, tmp_path: Path
) -> None:
    assert mlflow_run_id(client, config, run_id, tmp_path) == run_id


def test_only_the_run_with_the_tag_is_found(client: mlflow.MlflowClient, tmp_path: Path) -> None:
    experiment = client.create_experiment(tmp_path.name)
    client.create_run(experiment)
    tagged = client.create_run(experiment, tags={RUN_TAG: "a-record"}).info.run_id
    assert find_tagged(client, [experiment], "a-record") == tagged
    assert find_tagged(client, [experiment], "another") is None
