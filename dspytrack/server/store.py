"""The database of a local server: SQLite in its folder, or one of the user's own, tried before anything starts."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from dspytrack.errors import UnreachableError, UsageError
from dspytrack.server.settings import Settings
from dspytrack.tracking import database


def store_uri(settings: Settings, folder: Path) -> str:
    """Its address as MLflow takes it, with the driver's name.

    Raises:
        UsageError: where the driver is missing.
    """
    if settings.backend_store_uri is None:
        return f"sqlite:///{folder / 'mlflow.db'}"
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
