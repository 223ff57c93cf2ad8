"""Clients of a store, and what is said where it does not answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from dspytrack.errors import NotFoundError, UnreachableError, UsageError
from dspytrack.tracking import MLflowConfig
from dspytrack.tracking.client import connected, prepare, reading
from tests.support.ports import free_port


def test_a_server_that_does_not_answer_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    config = MLflowConfig(tracking_uri=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(UnreachableError, match=r"does not answer: .*refused"), connected(config) as client:
        client.search_experiments()


def test_what_mlflow_rejects_is_a_mistake_and_what_is_no_fault_of_the_store_is_raised_as_it_is(
    config: MLflowConfig,
) -> None:
    with pytest.raises(UsageError, match="MLflow rejects it: "), connected(config) as client:
        client.search_runs(["0"], "what is this")
    with pytest.raises(NotFoundError, match="ours"), connected(config):
        raise NotFoundError("ours")
    with pytest.raises(ZeroDivisionError), connected(config):
        _ = 1 / 0


def test_reading_creates_no_store_and_preparing_does(tmp_path: Path) -> None:
    config = MLflowConfig(tracking_uri=f"sqlite:///{tmp_path}/m.db")
    with pytest.raises(UnreachableError, match="no such file"), reading(config):
        pass
    assert not (tmp_path / "m.db").exists()
    prepare(config)
    with reading(config) as client:
        assert [one.name for one in client.search_experiments()] == ["Default"]


def test_preparing_waits_for_no_server() -> None:
    prepare(MLflowConfig(tracking_uri="http://127.0.0.1:9"))
