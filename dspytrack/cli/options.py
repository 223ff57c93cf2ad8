"""Options that several commands share."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dspytrack.tracking.config import MLflowConfig

EnvFile = Annotated[Path | None, typer.Option("--env-file", help="Default: .env.mlflow, then the environment.")]
Experiment = Annotated[str | None, typer.Option("--experiment", help="Default: that of the env file.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


class Format(str, Enum):
    """How runs are printed."""

    table = "table"
    json = "json"
    csv = "csv"
    md = "md"


class Order(str, Enum):
    """Which end of a metric is the best."""

    desc = "desc"
    asc = "asc"


def config_from(env_file: Path | None, experiment: str | None = None) -> MLflowConfig:
    """The MLflow settings of a command."""
    from dspytrack.tracking.config import MLflowConfig

    config = MLflowConfig.load(env_file)
    return config if experiment is None else config.model_copy(update={"experiment_name": experiment})


def tracked_in(env_file: Path | None) -> MLflowConfig:
    """The MLflow settings of a run, seen to be such that it can be written there."""
    config = config_from(env_file)
    config.check_writable()
    return config
