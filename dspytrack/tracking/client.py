"""Opens MLflow clients: few retries, short time-outs, quiet, and one clear error where a store does not answer."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dspytrack.errors import DspytrackError
from dspytrack.tracking import database
from dspytrack.tracking.address import check_there
from dspytrack.tracking.config import MLflowConfig

if TYPE_CHECKING:
    from mlflow import MlflowClient


@contextmanager
def reading(config: MLflowConfig) -> Iterator[MlflowClient]:
    """As `connected`, for reading: a store that does not exist is not created.

    Raises:
        UsageError: where MLflow rejects what was asked, or a driver is missing.
        UnreachableError: where the store does not answer, does not exist, or refuses the login.
    """
    check_there(config.tracking_uri)
    with connected(config) as client:
        yield client


@contextmanager
def connected(config: MLflowConfig) -> Iterator[MlflowClient]:
    """A client for as long as the block lasts.

    Raises:
        UsageError: where MLflow rejects what was asked, or a driver is missing.
        UnreachableError: where the store does not answer or refuses the login.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # stdout is for the answer alone
    for name in ("alembic", "mlflow.store.db.utils", "mlflow.tracking.fluent"):
        logging.getLogger(name).setLevel(logging.WARNING)
    import mlflow

    from dspytrack.tracking.errors import explained

    for uri in dict.fromkeys([config.tracking_uri, config.registry_uri or config.tracking_uri]):
        database.check(uri)
    try:
        yield mlflow.MlflowClient(config.tracking_uri, config.registry_uri)
    except DspytrackError:
        raise
    except Exception as error:
        found = explained(error, config)
        if found is None:
            raise
        raise found from error


def prepare(config: MLflowConfig) -> None:
    """Do the slow part that needs no server: import MLflow, create a SQLite store.

    Raises:
        UsageError: where MLflow rejects the store.
        UnreachableError: where the store cannot be created.
    """
    import mlflow  # noqa: F401 - seconds

    if config.tracking_uri.startswith("sqlite:"):
        with connected(config) as client:
            client.search_experiments(max_results=1)  # seconds, where its tables are not there yet
