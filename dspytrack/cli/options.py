"""Options that several commands share."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dspytrack.tracking.config import MLflowConfig
    from dspytrack.tracking.query import MLflowTracker

EnvFile = Annotated[Path | None, typer.Option("--env-file", help="Default: .env.mlflow, then the environment.")]
Experiment = Annotated[str | None, typer.Option("--experiment", help="Default: that of the env file.")]
Significant = Annotated[bool, typer.Option("--significant", help="Of best: only runs found better, with p < 0.05.")]
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


def config_from(env_file: Path | None) -> MLflowConfig:
    """The MLflow settings of a command."""
    from dspytrack.tracking.config import MLflowConfig

    return MLflowConfig.load(env_file)


def tracked_in(env_file: Path | None) -> MLflowConfig:
    """The MLflow settings of a run, seen to be such that it can be written there."""
    config = config_from(env_file)
    config.check_writable()
    return config


def tracker_from(env_file: Path | None, experiment: str | None) -> MLflowTracker:
    """The door to MLflow of a command; an experiment that is named has to be there."""
    from dspytrack.tracking.query import MLflowTracker

    config = config_from(env_file)
    if experiment is None:
        return MLflowTracker(config)
    tracker = MLflowTracker(config.model_copy(update={"experiment_name": experiment}))
    tracker.check_experiment()
    return tracker
