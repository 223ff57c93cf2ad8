"""A real MLflow store (sqlite) for each worker, and an experiment of its own for each test."""

from __future__ import annotations

from pathlib import Path

import mlflow
import pytest

from dspytrack.tracking import MLflowConfig


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> MLflowConfig:
    """A store that is there: its tables take seconds to create."""
    folder = tmp_path_factory.mktemp("store")
    found = MLflowConfig(tracking_uri=f"sqlite:///{folder}/m.db", artifact_location=str(folder / "artifacts"))
    mlflow.MlflowClient(found.tracking_uri).search_experiments()
    return found


@pytest.fixture
def config(store: MLflowConfig, tmp_path: Path) -> MLflowConfig:
    """The store, with an experiment that no other test has; it does not exist yet."""
    return store.model_copy(update={"experiment_name": tmp_path.name})


@pytest.fixture
def client(store: MLflowConfig) -> mlflow.MlflowClient:
    """Plain MLflow on the store."""
    return mlflow.MlflowClient(store.tracking_uri)
