"""The two ids of a run: the record's, which is the run's for life and a tag in MLflow, and the one that MLflow gives.

Wherever a run is named, either will do; here the one that MLflow needs is found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dspytrack.errors import DamagedError, NotFoundError, UsageError
from dspytrack.record.info import TrackingInfo
from dspytrack.record.store import RUNS_DIR, Record
from dspytrack.tracking.config import MLflowConfig

if TYPE_CHECKING:
    from mlflow import MlflowClient

RUN_TAG = "dspytrack.run_id"
"""The tag that holds the record's id."""
_OF_MLFLOW = re.compile(r"[0-9a-f]{32}")
_OF_A_RECORD = re.compile(r"[\w.-]+")


def mlflow_run_id(client: MlflowClient, config: MLflowConfig, run_id: str, runs_dir: Path = RUNS_DIR) -> str:
    """The id of a run in a store: by the record on this machine, else by the tag, in any experiment.

    Args:
        client: of the store.
        config: of the store.
        run_id: MLflow's or the record's; one that is neither is returned for MLflow to reject.
        runs_dir: where records are kept.

    Raises:
        UsageError: where the record is here and its run not yet in the store.
    """
    if _OF_MLFLOW.fullmatch(run_id) or not _OF_A_RECORD.fullmatch(run_id):
        return run_id
    local = _local(run_id, runs_dir)
    if local is not None and local.mlflow_run_id is not None and local.tracking_uri == config.shown:
        return local.mlflow_run_id
    found = find_tagged(client, list(_experiment_ids(client)), run_id)
    if found is not None:
        return found
    if local is not None:
        raise UsageError(f"{run_id} is not in {config.shown} yet; send it with: dspytrack runs sync {run_id}")
    return run_id


def find_tagged(client: MlflowClient, experiment_ids: Sequence[str], record_id: str) -> str | None:
    """The id of the run that has a record's id as its tag; None where no experiment has one."""
    found = client.search_runs(list(experiment_ids), f"tags.`{RUN_TAG}` = '{record_id}'", max_results=1)
    return str(found[0].info.run_id) if found else None


def _local(record_id: str, runs_dir: Path) -> TrackingInfo | None:
    try:
        return Record.open(record_id, runs_dir).tracking
    except (NotFoundError, DamagedError):  # the store may know it all the same
        return None


def _experiment_ids(client: MlflowClient) -> Iterator[str]:
    token = None
    while True:
        page = client.search_experiments(max_results=1000, page_token=token)
        yield from (str(one.experiment_id) for one in page)
        token = page.token
        if not token:
            return
