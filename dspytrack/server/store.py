"""The database of a local server: SQLite in its folder, or one of the user's own, tried before anything starts."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from dspytrack.errors import UnreachableError, UsageError
from dspytrack.server.settings import Settings, without_secrets

CONNECT_SECONDS = 5


def store_uri(settings: Settings, folder: Path) -> str:
    """Its address as MLflow takes it, with the driver's name.

    Raises:
        UsageError: where the driver is missing.
    """
    uri = settings.backend_store_uri
    if uri is None:
        return f"sqlite:///{folder / 'mlflow.db'}"
    if uri.startswith("postgresql://"):  # SQLAlchemy 2.1 would take it for psycopg 3
        uri = uri.replace("postgresql://", "postgresql+psycopg2://", 1)
    if uri.startswith("postgresql+psycopg2://") and find_spec("psycopg2") is None:
        raise UsageError("a PostgreSQL store needs psycopg2: pip install 'dspytrack[server]'")
    return uri


def check_store(uri: str, env_file: Path) -> None:
    """See that a PostgreSQL answers and takes the login: MLflow would retry for minutes.

    Raises:
        UsageError: for an address that is none.
        UnreachableError: with the database's own reason.
    """
    if not uri.startswith("postgresql"):
        return
    from sqlalchemy import create_engine
    from sqlalchemy.exc import ArgumentError, OperationalError

    try:
        engine = create_engine(uri, connect_args={"connect_timeout": CONNECT_SECONDS})
        with engine.connect():
            pass
        engine.dispose()
    except ArgumentError as error:
        raise UsageError(f"--backend-store-uri: {without_secrets(str(error), env_file)}") from error
    except OperationalError as error:
        reason = " ".join(str(error.orig).split())
        raise UnreachableError(f"{without_secrets(uri, env_file)} cannot be used: {reason}") from error


def run_count(uri: str) -> int:
    """How many runs it has."""
    from sqlalchemy import create_engine, text

    engine = create_engine(uri)
    with engine.connect() as connection:
        found = connection.execute(text("SELECT count(*) FROM runs WHERE lifecycle_stage = 'active'")).scalar_one()
    engine.dispose()
    return int(found)
