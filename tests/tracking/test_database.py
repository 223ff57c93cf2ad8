"""Databases asked directly."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from sqlalchemy import text

from dspytrack.errors import UnreachableError, UsageError
from dspytrack.tracking import MLflowConfig
from dspytrack.tracking.database import check, connection
from tests.support.ports import free_port


def test_a_postgresql_address_names_the_driver_that_is_installed() -> None:
    assert MLflowConfig(tracking_uri="postgresql://me@host/db").tracking_uri == "postgresql+psycopg2://me@host/db"
    other = "postgresql+psycopg://me@host/db"
    assert MLflowConfig(tracking_uri=other, registry_uri="postgresql://r/db").tracking_uri == other
    assert MLflowConfig(registry_uri="postgresql://r/db").registry_uri == "postgresql+psycopg2://r/db"


def test_a_database_that_does_not_answer_is_one_sentence_at_once_without_the_password() -> None:
    began = time.monotonic()
    with pytest.raises(UnreachableError) as caught:
        check(f"postgresql+psycopg2://me:a-password@127.0.0.1:{free_port()}/db")
    assert time.monotonic() - began < 5
    assert "does not answer: " in str(caught.value) and "refused" in str(caught.value)
    assert "a-password" not in str(caught.value) and "\n" not in str(caught.value)


def test_a_driver_that_is_missing_says_what_to_install() -> None:
    with pytest.raises(UsageError, match=r"pip install 'dspytrack\[server\]'"):
        check("mysql+mysqldb://host/db")


def test_only_databases_on_the_network_are_asked(tmp_path: Path) -> None:
    check("http://127.0.0.1:9")
    check(f"sqlite:///{tmp_path}/none.db")
    assert not (tmp_path / "none.db").exists()


def test_a_connection_is_one_to_work_with(tmp_path: Path) -> None:
    with connection(f"sqlite:///{tmp_path}/m.db") as connected:
        assert connected.execute(text("select 1")).scalar() == 1
