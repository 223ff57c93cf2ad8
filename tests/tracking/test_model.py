"""The import path of `load` that users have."""

from __future__ import annotations

from dspytrack.programs import package
from dspytrack.tracking.model import load


def test_load_is_found_where_users_import_it_from() -> None:
    assert load is package.load
