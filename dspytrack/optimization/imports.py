"""`package.module:name` -> the object, found beside the config file too."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from dspytrack.errors import ConfigError, did_you_mean


def import_object(path: str, base_dir: Path, key: str) -> Any:
    """Import what `module:name` names.

    Args:
        path: `package.module:attribute`.
        base_dir: a folder whose modules are found as well.
        key: the config key to name in an error.

    Raises:
        ConfigError: where it is no such path, does not import, or has no such name.
    """
    module_name, colon, name = path.partition(":")
    if not (module_name and colon and name):
        raise ConfigError(f"expected `module:name`, not `{path}`", key=key)
    folder = str(base_dir.resolve())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    importlib.invalidate_caches()
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise ConfigError(f"`{module_name}` does not import: {type(error).__name__}: {error}", key=key) from error
    try:
        return getattr(module, name)
    except AttributeError:
        raise ConfigError(f"`{module_name}` has no `{name}`.{did_you_mean(name, dir(module))}", key=key) from None
