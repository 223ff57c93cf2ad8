"""Addresses of stores, checked without connecting."""

from __future__ import annotations

from pathlib import Path

import pytest

from dspytrack.errors import UnreachableError, UsageError
from dspytrack.tracking.address import check_address, check_there, check_writable, sqlite_file


@pytest.mark.parametrize(
    "uri",
    [
        *("http://localhost:5000", "https://host/team/mlflow", "databricks", "databricks://profile", "uc:profile"),
        *("sqlite:///m.db", "sqlite:////tmp/m.db", "sqlite:///:memory:", "postgresql+psycopg2://me:x@host:5432/db"),
        "mysql://host/db",
    ],
)
def test_an_address_that_mlflow_takes_is_taken(uri: str) -> None:
    check_address(uri, "MLFLOW_TRACKING_URI")


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("foo", "not `foo`"),
        ("http://", "(it names no server)"),
        ("http://host:99999", "(Port out of range 0-65535)"),
        ("http://ho st", "(it holds a space)"),
        ("ml flow.db", "(it holds a space)"),
        ("sqlite://m.db", "(a file's address has three slashes, or four from the root)"),
        ("postgresql://host:port/db", "(its port is no number)"),
        ("postgresql://host:99999/db", "(Port out of range 0-65535)"),
        ("postgresql://", "(it names no server)"),
    ],
)
def test_another_address_is_rejected_with_what_is_wrong_and_what_is_expected(uri: str, why: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_address(uri, "MLFLOW_TRACKING_URI")
    said = str(caught.value)
    assert said.startswith("MLFLOW_TRACKING_URI: expected an address such as http://localhost:5000 or sqlite:///m")
    assert why in said


def test_a_password_is_not_printed() -> None:
    with pytest.raises(UsageError) as caught:
        check_address("postgresql://me:a-password@host:99999/db", "MLFLOW_TRACKING_URI")
    assert "a-password" not in str(caught.value)


def test_only_an_embedded_store_has_a_file() -> None:
    assert sqlite_file("sqlite:///a/m.db") == Path("a/m.db")
    assert sqlite_file("sqlite+pysqlite:////a/m.db") == Path("/a/m.db")
    for uri in ("sqlite:///:memory:", "sqlite:///file:m?mode=memory", "http://localhost", "postgresql://host/db"):
        assert sqlite_file(uri) is None


def test_a_store_to_read_from_has_to_exist(tmp_path: Path) -> None:
    check_there("http://localhost:5000")
    with pytest.raises(UnreachableError, match="no such file; the first `dspytrack optimize` with this address makes"):
        check_there(f"sqlite:///{tmp_path}/m.db")
    with pytest.raises(UnreachableError, match=f"there is no folder {tmp_path}/a"):
        check_there(f"sqlite:///{tmp_path}/a/m.db")
    (tmp_path / "m.db").write_text("")
    check_there(f"sqlite:///{tmp_path}/m.db")


def test_a_store_to_write_to_has_to_be_a_file_in_a_folder_that_exists(tmp_path: Path) -> None:
    check_writable("http://localhost:5000", "X")
    check_writable(f"sqlite:///{tmp_path}/m.db", "X")
    with pytest.raises(UsageError, match=f"X: sqlite:///{tmp_path}/a/m.db: there is no folder {tmp_path}/a"):
        check_writable(f"sqlite:///{tmp_path}/a/m.db", "X")
    with pytest.raises(UsageError, match=f"{tmp_path} cannot be written"):
        check_writable(f"sqlite:///{tmp_path}", "X")
