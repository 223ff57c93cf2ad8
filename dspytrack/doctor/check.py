"""A check as a value, and the place that is looked at."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dspytrack.config.loader import load_request
from dspytrack.config.masking import masked
from dspytrack.config.schema import OptimizationRequest
from dspytrack.config.secrets import is_secret_variable
from dspytrack.errors import DspytrackError, UsageError
from dspytrack.server.env_file import read
from dspytrack.tracking import ENV_FILE
from dspytrack.tracking.config import MLflowConfig

Status = Literal["pass", "fail", "skipped"]
SECRETS_SHOWN = "***"


@dataclass(frozen=True)
class Check:
    """One thing looked at; `mend` is the command, or what to do, where it failed."""

    name: str
    status: Status
    detail: str
    mend: str | None = None


def passed(name: str, detail: str) -> Check:
    """It is as it should be."""
    return Check(name, "pass", detail)


def failed(name: str, detail: str, mend: str) -> Check:
    """It is not, and this mends it."""
    return Check(name, "fail", detail, mend)


def skipped(name: str, reason: str) -> Check:
    """It was not looked at."""
    return Check(name, "skipped", reason)


def broken(name: str, error: DspytrackError, mend: str) -> Check:
    """It failed with an error, mended as that says, else by `mend`."""
    what, known = getattr(error, "what", str(error)), getattr(error, "mend", None)
    return failed(name, what, known or mend)


@dataclass(frozen=True)
class Place:
    """A folder's settings as doctor found them, before anything was changed by loading them."""

    env_file: Path
    written: Mapping[str, str]
    environment: Mapping[str, str]
    config: MLflowConfig | None
    fault: str | None
    request: OptimizationRequest | None

    @classmethod
    def found(cls, env_file: Path | None = None, lm: Path | None = None) -> Place:
        """The settings here.

        Args:
            env_file: a file that is named, and has to be there; else `.env.mlflow`.
            lm: the config file whose LMs are tried.

        Raises:
            UsageError: where a named file is missing or is none.
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
        return cls(path, read(path), environment, config, fault, request)

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
    def server_kind(self) -> str | None:
        """Of the server that `dspytrack server up` started for this env file: compose or local; None without one."""
        return self.value("MLFLOW_SERVER_KIND")

    def server(self, command: str, *options: str) -> str:
        """A `dspytrack server …` command for this env file."""
        named = [] if self.env_file == ENV_FILE else ["--env-file", str(self.env_file)]
        return " ".join(["dspytrack server", command, *options, *named])

    def without_secrets(self, text: str) -> str:
        """A text with the secrets of the file and the environment masked."""
        return masked(text, [value for name, value in self.written.items() if is_secret_variable(name, value)])
