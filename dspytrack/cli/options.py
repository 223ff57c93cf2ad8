"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from dspytrack.tracking.config import MLflowConfig
    from dspytrack.tracking.query import MLflowTracker

EnvFile = Annotated[Path | None, typer.Option("--env-file", help="Default: .env.mlflow, then the environment.")]
Experiment = Annotated[str | None, typer.Option("--experiment", help="Default: that of the env file.")]
Significant = Annotated[bool, typer.Option("--significant", help="For best: only runs found better, with p < 0.05.")]
Format = Literal["table", "json", "csv", "md"]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def config_from(env_file: Path | None) -> MLflowConfig:
    """The MLflow settings of a command."""
    from dspytrack.tracking.config import MLflowConfig

    return MLflowConfig.load(env_file)


def tracked_in(env_file: Path | None) -> MLflowConfig:
    """The MLflow settings of a run, checked to be writable."""
    config = config_from(env_file)
    config.check_writable()
    return config


def tracker_from(env_file: Path | None, experiment: str | None) -> MLflowTracker:
    """The tracker that a command reads runs with; an experiment that is named has to exist."""
    from dspytrack.tracking.query import MLflowTracker

    config = config_from(env_file)
    if experiment is None:
        return MLflowTracker(config)
    tracker = MLflowTracker(config.model_copy(update={"experiment_name": experiment}))
    tracker.check_experiment()
    return tracker
