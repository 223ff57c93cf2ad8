"""Connects to a database that stores runs, to see whether it answers, accepts the login and has its driver."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from dspytrack.config.masking import masked
from dspytrack.errors import UnreachableError, UsageError

if TYPE_CHECKING:
    from sqlalchemy import Connection

CONNECT_SECONDS = 4
_REMOTE = re.compile(r"(postgresql|mysql)(\+\w+)?://")


def with_driver(uri: str) -> str:
    """A PostgreSQL address that names its driver: SQLAlchemy 2.1 takes `postgresql://` to mean psycopg 3."""
    if not uri.startswith("postgresql://") or (find_spec("psycopg2") is None and find_spec("psycopg") is not None):
        return uri
    return uri.replace("postgresql://", "postgresql+psycopg2://", 1)


def check(uri: str) -> None:
    """Check that a database on the network answers: MLflow itself would try for minutes.

    Raises:
        UsageError: for an address that cannot be parsed, or a driver that is missing.
        UnreachableError: with the database's own reason.
    """
    if _REMOTE.match(uri):
        with connection(uri):
            pass


@contextmanager
def connection(uri: str) -> Iterator[Connection]:
    """A connection to a database; one on the network has a few seconds to answer.

    Raises:
        UsageError: for an address that cannot be parsed, or a driver that is missing.
        UnreachableError: with the database's own reason.
    """
    from sqlalchemy import create_engine
    from sqlalchemy.exc import ArgumentError, DBAPIError

    patience = {"connect_timeout": CONNECT_SECONDS} if _REMOTE.match(uri) else {}
    try:
        engine = create_engine(uri, connect_args=patience)
        try:
            with engine.connect() as connected:
                yield connected
        finally:
            engine.dispose()
    except (ArgumentError, ModuleNotFoundError) as error:
        install = "; pip install 'dspytrack[server]'" if isinstance(error, ModuleNotFoundError) else ""
        raise UsageError(f"{masked(uri)}: {masked(str(error))}{install}") from error
    except DBAPIError as error:
        raise UnreachableError(f"{masked(uri)} does not answer: {masked(' '.join(str(error.orig).split()))}") from error
