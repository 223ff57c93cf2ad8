"""The settings of a folder as doctor finds them: the env file, the environment, a config file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from dspytrack.config.loader import load_request
from dspytrack.config.schema import OptimizationRequest
from dspytrack.errors import UsageError
from dspytrack.server.env_file import read_values
from dspytrack.server.settings import Kind, without_secrets
from dspytrack.tracking import ENV_FILE
from dspytrack.tracking.config import MLflowConfig


@dataclass(frozen=True)
class FolderSettings:
    """Settings of a folder, read before anything changes them by loading them.

    `config` is None where the settings are wrong, and `fault` then says how; `request` is None without a config file.
    """

    env_file: Path
    written: Mapping[str, str]
    environment: Mapping[str, str]
    config: MLflowConfig | None
    fault: str | None
    request: OptimizationRequest | None

    @classmethod
    def read(cls, env_file: Path | None = None, lm: Path | None = None) -> FolderSettings:
        """The settings of the working folder.

        Args:
            env_file: a file that has to be there; without one, `.env.mlflow` where it is there.
            lm: the config file whose LMs are to be called.

        Raises:
            UsageError: where a named file is missing, or the config file is wrong.
        """
        environment, path = dict(os.environ), env_file or ENV_FILE
        config, fault = None, None
        try:
            config = MLflowConfig.load(env_file)
        except UsageError as error:
            if env_file is not None and not env_file.is_file():
                raise
            fault = str(error)
        request = load_request(lm) if lm is not None else None
        return cls(path, read_values(path), environment, config, fault, request)

    def value(self, name: str) -> str | None:
        """A setting's value; the environment wins."""
        return self.environment.get(name) or self.written.get(name)

    def source(self, name: str) -> str:
        """Where a setting comes from, in words."""
        if not self.environment.get(name):
            return str(self.env_file) if name in self.written else "default"
        overrides = name in self.written and self.written[name] != self.environment[name]
        return f"environment, which wins over {self.env_file}" if overrides else "environment"

    @property
    def mlflow(self) -> MLflowConfig:
        """The MLflow settings, for checks that run only where they are right."""
        assert self.config is not None
        return self.config

    @property
    def server_kind(self) -> Kind | None:
        """The kind of server that was started with the env file; None where none was, or the kind is unknown."""
        return next((kind for kind in get_args(Kind) if kind == self.value("MLFLOW_SERVER_KIND")), None)

    def server_command(self, command: str, *options: str) -> str:
        """A `dspytrack server …` command for the env file."""
        named = [] if self.env_file == ENV_FILE else ["--env-file", str(self.env_file)]
        return " ".join(["dspytrack server", command, *options, *named])

    def without_secrets(self, text: str) -> str:
        """A text with the secrets of the env file and the environment masked."""
        return without_secrets(text, self.env_file)
