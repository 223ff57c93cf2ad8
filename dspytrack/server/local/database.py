"""The database of a local server: SQLite in its folder, or a PostgreSQL of the user's own."""

from __future__ import annotations

from importlib.util import find_spec

from dspytrack.errors import UnreachableError, UsageError
from dspytrack.server.settings import Settings
from dspytrack.tracking import database


def store_uri(settings: Settings) -> str:
    """Its address as MLflow takes it, with the driver's name.

    Raises:
        UsageError: where the driver is missing.
    """
    if settings.backend_store_uri is None:
        return f"sqlite:///{settings.data_folder / 'mlflow.db'}"
    uri = database.with_driver(settings.backend_store_uri)
    if uri.startswith("postgresql+psycopg2://") and find_spec("psycopg2") is None:
        raise UsageError("a PostgreSQL store needs psycopg2: pip install 'dspytrack[server]'")
    return uri


def run_count(uri: str) -> int | None:
    """How many runs it has; None where it does not answer."""
    from sqlalchemy import text

    try:
        with database.connection(uri) as connected:
            found = connected.execute(text("SELECT count(*) FROM runs WHERE lifecycle_stage = 'active'")).scalar_one()
    except UnreachableError:
        return None
    return int(found)
