"""`package.module:name` -> the object, found beside the config file too; each folder's modules are its own."""

from __future__ import annotations

import importlib
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from dspytrack.errors import ConfigError, did_you_mean

_INSTALLED = ("site-packages", "dist-packages")
_PYTHONS_OWN = Path(sysconfig.get_path("stdlib")).resolve()
_STAYING = {"__main__", "__mp_main__", "dspytrack", *sys.builtin_module_names}
_added: set[Path] = set()
"""The folder that was put first in sys.path for the last import, where another one was."""


def _any_module(module_name: str) -> None:
    """A user's own config may name any module."""


def import_object(path: str, base_dir: Path, key: str, check: Callable[[str], None] = _any_module) -> Any:
    """Import what `module:name` names.

    One process may run several folders, each with a `program.py` of its own: the modules of another folder make way.
    Objects that were made of those live on as they are.

    Args:
        path: `package.module:attribute`.
        base_dir: a folder whose modules are found as well, before all others.
        key: the config key to name in an error.
        check: refuses a module, by raising, before it is imported.

    Raises:
        ConfigError: where it is no such path, does not import, or has no such name.
    """
    module_name, colon, name = path.partition(":")
    if not (module_name and colon and name):
        raise ConfigError(f"expected `module:name`, not `{path}`", key=key)
    folder = base_dir.resolve()
    own = _written_in(folder)
    _make_way(folder, own)
    check(module_name)
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise ConfigError(f"`{module_name}` does not import: {type(error).__name__}: {error}", key=key) from error
    top = module_name.partition(".")[0]
    if top in own and not _is_given(sys.modules[top], own[top]):
        found = ", ".join(str(place) for place in places_of(sys.modules[top])) or "a part of Python"
        raise ConfigError(f"`{top}` is {found} here, not {own[top]}; give that another name", key=key)
    try:
        return getattr(module, name)
    except AttributeError:
        raise ConfigError(f"`{module_name}` has no `{name}`.{did_you_mean(name, dir(module))}", key=key) from None


def is_installed(place: Path) -> bool:
    """Whether a module's place is one of Python's own or of an installed package."""
    return any(part in _INSTALLED for part in place.parts) or is_pythons_own(str(place))


def is_pythons_own(origin: str) -> bool:
    """Whether a module comes with Python: where its spec says that it is built in, or its place is in the library."""
    if origin in ("built-in", "frozen"):
        return True
    place = Path(origin).resolve()
    return place.is_relative_to(_PYTHONS_OWN) and not any(part in _INSTALLED for part in place.parts)


def places_of(module: ModuleType) -> list[Path]:
    """A module's file; a package's folder, or folders where it is in several; nothing for what is built in."""
    file = getattr(module, "__file__", None)
    if file is None:
        return [Path(one).resolve() for one in getattr(module, "__path__", [])]
    path = Path(file).resolve()
    return [path.parent if path.stem == "__init__" else path]


def _is_given(module: ModuleType, place: Path) -> bool:
    """Whether a module is the one at a place; a folder without `__init__.py` gives way to a package of its name."""
    has_file = getattr(module, "__file__", None) is not None
    gives_way = place.is_dir() and not (place / "__init__.py").is_file()
    return (has_file and gives_way) or places_of(module)[:1] == [place]


def _written_in(folder: Path) -> dict[str, Path]:
    """The names of the modules in a folder, each with its file, or its folder where it is a package."""
    if not folder.is_dir():
        return {}
    packages = (one for one in folder.iterdir() if one.name.isidentifier() and one.is_dir() and any(one.glob("*.py")))
    return {one.stem: one for one in folder.glob("*.py")} | {one.name: one for one in packages}


def _make_way(folder: Path, own: dict[str, Path]) -> None:
    """Make a folder the first one that modules are looked for in, and forget those that it would give otherwise."""
    without = list(sys.path)
    for one in _added:
        if str(one) in without:
            without.remove(str(one))
    reached = {Path(one).resolve() for one in without}
    _forget(own, _added - reached - {folder})
    _added.clear()
    if not without or Path(without[0]).resolve() != folder:
        without.insert(0, str(folder))
        _added.add(folder)
    sys.path[:] = without
    importlib.invalidate_caches()


def _forget(own: dict[str, Path], left: set[Path]) -> None:
    """Forget imported modules that are not what a folder gives by those names, and all of the folders that are left."""
    gone = set()
    for name, module in list(sys.modules.items()):
        if "." in name or name in _STAYING or (name in own and _is_given(module, own[name])):
            continue
        places = places_of(module)
        if name not in own and not any(place.parent in left for place in places):
            continue
        if places and not any(is_installed(place) for place in places):
            gone.add(name)
    for name in [name for name in sys.modules if name.partition(".")[0] in gone]:
        del sys.modules[name]
