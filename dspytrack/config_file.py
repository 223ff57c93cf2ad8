"""`load_request`, at the import path that users have; the reading itself is `config/loader.py`'s."""

from dspytrack.config.loader import load_request

__all__ = ["load_request"]
