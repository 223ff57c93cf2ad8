"""What the files of a pulled program may have imported and called: they come from a store, and so does their checksum.

A dspy.Module class or instance may come from anywhere; any other function only from the code of who loads it.
"""

from __future__ import annotations

import functools
import importlib.util
import inspect
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dspytrack.config.schema import Program
from dspytrack.errors import ConfigError
from dspytrack.programs.imports import is_installed, is_pythons_own, places_of


@dataclass(frozen=True)
class Pulled:
    """A pulled folder, and the folder of the code that is the loader's own."""

    folder: Path
    base_dir: Path

    def check_module(self, module_name: str) -> None:
        """See, before it is imported, that a module is neither Python's own nor one of the pulled folder.

        Raises:
            ConfigError: where it is.
        """
        parts = module_name.split(".")
        for length in range(1, len(parts) + 1):
            name = ".".join(parts[:length])
            try:
                spec = importlib.util.find_spec(name)
            except (ImportError, AttributeError, ValueError):
                return  # the import itself will say
            if spec is None:
                return
            origins = [spec.origin] if spec.origin else list(spec.submodule_search_locations or [])
            if "__main__" in parts or any(is_pythons_own(one) for one in origins):
                raise self._refused(f"`{module_name}` is no module of a program")
            if any(Path(one).resolve().is_relative_to(self.folder.resolve()) for one in origins):
                raise self._refused(f"`{name}` is code of the pulled folder itself")

    def check_types(self, spec: Program) -> None:
        """See that no type of a signature is a module of the pulled folder: DSPy imports what a type names.

        Raises:
            ConfigError: where one is.
        """
        for name in sorted(set(re.findall(r"[A-Za-z_]\w*", spec.signature or ""))):
            if (self.folder / f"{name}.py").exists() or (self.folder / name).is_dir():
                raise self._refused(f"`{name}` in its signature is code of the pulled folder itself")

    def check_call(self, found: Any, path: str) -> None:
        """See that what is going to be called is a dspy.Module class or code of who loads it.

        Args:
            found: what was imported.
            path: its import path.

        Raises:
            ConfigError: where it is neither.
        """
        import dspy

        if isinstance(found, dspy.Module) or (isinstance(found, type) and issubclass(found, dspy.Module)):
            return
        place = _place(found)
        own = place is not None and place.is_relative_to(self.base_dir.resolve()) and not is_installed(place)
        if place is None or not own or place.is_relative_to(self.folder.resolve()):
            raise self._refused(f"`{path}` is neither a dspy.Module nor a function of your own code")

    def _refused(self, why: str) -> ConfigError:
        said = f"{why}; a pulled program may call functions of modules under {self.base_dir.resolve()} only"
        return ConfigError(said, key="program.json")


def _place(found: Any) -> Path | None:
    """Where the code lies that a call runs first; None where that is not known, as for what is built into Python."""
    while isinstance(found, functools.partial):
        found = found.func
    module = sys.modules.get(getattr(inspect.unwrap(found), "__module__", None) or "")
    return next(iter(places_of(module)), None) if module is not None else None
