"""Checks a tracking address without connecting: whether MLflow takes it, and whether an embedded store can be used."""

from __future__ import annotations

import os
import re
from pathlib import Path

from dspytrack.config.masking import masked
from dspytrack.config.urls import fault_of
from dspytrack.errors import UnreachableError, UsageError

_DATABASES = re.compile(r"(sqlite|postgresql|mysql|mssql)(\+\w+)?:")
_CLOUD = re.compile(r"databricks(-uc)?$|(databricks|databricks-uc|uc):\S+")


def check_address(uri: str, name: str) -> None:
    """Check that MLflow takes an address.

    Args:
        uri: the address.
        name: the variable that it comes from.

    Raises:
        UsageError: where it does not.
    """
    why = _fault(uri)
    if why is not None:
        expected = "expected an address such as http://localhost:5000 or sqlite:///mlflow.db"
        raise UsageError(f"{name}: {expected}, not `{masked(uri)}`{f' ({why})' if why else ''}")


def sqlite_file(uri: str) -> Path | None:
    """The file of an embedded store; None for a store of another kind, or one in memory."""
    if not re.match(r"sqlite(\+\w+)?://", uri):
        return None
    from sqlalchemy.engine import make_url

    found = make_url(uri).database
    return Path(found) if found and found != ":memory:" and not found.startswith("file:") else None


def check_there(uri: str) -> None:
    """Check that there is something to read: MLflow itself would create the file, and the folders above it.

    Raises:
        UnreachableError: where the file of an embedded store is missing.
    """
    file = sqlite_file(uri)
    if file is None or file.is_file():
        return
    if not file.parent.is_dir():
        raise UnreachableError(f"{uri}: there is no folder {file.parent}")
    raise UnreachableError(f"{uri}: no such file; the first `dspytrack optimize` with this address makes it")


def check_writable(uri: str, name: str) -> None:
    """Check that an embedded store can be written, or created in a folder that exists.

    Args:
        uri: the address.
        name: the variable that it comes from.

    Raises:
        UsageError: where it cannot.
    """
    file = sqlite_file(uri)
    if file is None:
        return
    if not file.parent.is_dir():
        raise UsageError(f"{name}: {uri}: there is no folder {file.parent}")
    place = file if file.exists() else file.parent
    if file.is_dir() or not os.access(place, os.W_OK):
        raise UsageError(f"{name}: {uri}: {file} cannot be written")


def _fault(uri: str) -> str | None:
    """What is wrong with an address: "" where that needs no words, None where nothing is wrong."""
    if uri.startswith(("http:", "https:")):
        return fault_of(uri)
    if re.search(r"\s", uri):
        return "it holds a space"
    if _DATABASES.match(uri):
        return _fault_of_database(uri)
    return None if _CLOUD.match(uri) else ""


def _fault_of_database(uri: str) -> str | None:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(uri)
    except (ArgumentError, ValueError) as error:
        return "" if isinstance(error, ArgumentError) else "its port is no number"
    if uri.startswith("sqlite"):
        return None if url.database and not url.host else "a file's address has three slashes, or four from the root"
    if url.port is not None and not 0 < url.port < 65536:
        return "Port out of range 0-65535"
    return None if url.host or url.database or url.query else "it names no server"
