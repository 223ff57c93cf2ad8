"""`load`, at the import path that users have; the loading itself is `programs/package.py`'s."""

from dspytrack.programs.package import load

__all__ = ["load"]
