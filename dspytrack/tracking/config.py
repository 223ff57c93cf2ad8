"""MLflowConfig: where runs are tracked, from `.env.mlflow` and the environment (which wins)."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, field_validator

from dspytrack.config.masking import masked
from dspytrack.errors import UsageError
from dspytrack.tracking import ENV_FILE
from dspytrack.tracking.address import check_address, check_writable
from dspytrack.tracking.database import with_driver

_LINE = "MLFLOW_TRACKING_URI=sqlite:///mlflow.db"
_FILES = ("MLFLOW_TRACKING_SERVER_CERT_PATH", "MLFLOW_TRACKING_CLIENT_CERT_PATH")
_FIELDS = {
    "tracking_uri": "MLFLOW_TRACKING_URI",
    "experiment_name": "MLFLOW_EXPERIMENT_NAME",
    "artifact_location": "MLFLOW_ARTIFACT_LOCATION",
    "registry_uri": "MLFLOW_REGISTRY_URI",
}


def _from_environment(name: str, default: str | None = None) -> Callable[[], Any]:
    return lambda: os.environ.get(name) or default


class MLflowConfig(BaseModel):
    """Addresses of the tracking server, its experiment, artifacts and model registry.

    What is not given comes from the environment, then from the defaults: http://localhost:5000, dspy-optimization.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    tracking_uri: str = Field(default_factory=_from_environment("MLFLOW_TRACKING_URI", "http://localhost:5000"))
    experiment_name: str = Field(default_factory=_from_environment("MLFLOW_EXPERIMENT_NAME", "dspy-optimization"))
    artifact_location: str | None = Field(default_factory=_from_environment("MLFLOW_ARTIFACT_LOCATION"))
    registry_uri: str | None = Field(default_factory=_from_environment("MLFLOW_REGISTRY_URI"))

    @field_validator("tracking_uri", "registry_uri")
    @classmethod
    def _driven(cls, uri: str | None) -> str | None:
        return with_driver(uri) if uri else None

    @classmethod
    def load(cls, env_file: Path | None = None) -> MLflowConfig:
        """Read an env file, then the environment.

        Other variables in the file (logins, AWS settings) are put into the environment unless they are set there. A
        relative path in the file (`sqlite:///…`, a certificate) starts at the file's folder.

        Raises:
            UsageError: where a named file is missing or cannot be read, or MLflow cannot take an address.
        """
        path = env_file or ENV_FILE
        if env_file is not None and not env_file.is_file():
            raise UsageError(f"{env_file}: no such file; expected lines such as {_LINE}")
        written = _read(path) if path.is_file() else {}
        for name, value in written.items():
            if name not in _FIELDS.values() and not os.environ.get(name):
                os.environ[name] = str(path.resolve().parent / value) if name in _FILES else value
        values = {}
        for field, name in _FIELDS.items():
            if name in written and not os.environ.get(name):
                values[field] = _beside(written[name], path.resolve().parent)
        config = cls(**values)
        check_address(config.tracking_uri, "MLFLOW_TRACKING_URI")
        if config.registry_uri is not None:
            check_address(config.registry_uri, "MLFLOW_REGISTRY_URI")
        return config

    def check_writable(self) -> None:
        """Check, without connecting, that runs can be written here: a run is paid for before it is sent.

        Raises:
            UsageError: where the file of an embedded store cannot be written, or its folder does not exist.
        """
        check_writable(self.tracking_uri, "MLFLOW_TRACKING_URI")

    @property
    def shown(self) -> str:
        """The tracking address without its password."""
        return masked(self.tracking_uri)


def _read(path: Path) -> dict[str, str]:
    try:
        return {name: value for name, value in dotenv_values(path, encoding="utf-8").items() if value}
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}; expected lines such as {_LINE}, in UTF-8") from error


def _beside(uri: str, folder: Path) -> str:
    found = re.fullmatch(r"sqlite:///([^/].*)", uri)
    return f"sqlite:///{folder / found.group(1)}" if found and found.group(1) != ":memory:" else uri
