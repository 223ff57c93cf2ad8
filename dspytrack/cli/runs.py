"""`dspytrack runs …`: search, best, show, sync."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dspytrack.cli.options import EnvFile, Experiment, Format, Json, Significant, config_from, tracker_from

if TYPE_CHECKING:
    from dspytrack.tracking.run_view import RunView

app = typer.Typer(no_args_is_help=True, help="Find and look at runs.")
_DEFAULT = "improvement_percentage,statistical_significance,optimized_success_rate"


def complete_metric(incomplete: str) -> list[tuple[str, str]]:
    """The names of metrics that begin as typed, each with its meaning, for the shell."""
    from dspytrack.results.catalogue import METRICS

    return [(name, one.meaning) for name, one in METRICS.items() if name.startswith(incomplete)]


def complete_columns(incomplete: str) -> list[tuple[str, str]]:
    """As `complete_metric`, for the last of several names with commas."""
    before, comma, last = incomplete.rpartition(",")
    return [(f"{before}{comma}{name}", meaning) for name, meaning in complete_metric(last)]


Columns = Annotated[
    str,
    typer.Option("--columns", help="Metrics to show, separated by commas.", autocompletion=complete_columns),
]
Metric = Annotated[str, typer.Option("--metric", help="The metric to rank runs by.", autocompletion=complete_metric)]
Filter = Annotated[str, typer.Option("--filter", help="In MLflow's syntax, such as metrics.iterations > 5.")]
Order = Annotated[
    Literal["desc", "asc"] | None, typer.Option("--order", help="Default: the metric's better direction.")
]


@app.command()
def search(
    filter_string: Filter = "",
    order_by: Annotated[
        list[str] | None, typer.Option("--order-by", help="Such as 'metrics.iterations DESC'; repeatable.")
    ] = None,
    max_results: Annotated[int, typer.Option("--max-results", min=1)] = 100,
    columns: Columns = _DEFAULT,
    form: Annotated[Format, typer.Option("--format")] = "table",
    as_json: Json = False,
    local: Annotated[bool, typer.Option("--local", help="The records in this folder; asks no server.")] = False,
    experiment: Experiment = None,
    env_file: EnvFile = None,
) -> None:
    """List runs, newest first."""
    from dspytrack.cli.render.tables import print_runs
    from dspytrack.errors import UsageError
    from dspytrack.tracking.run_view import view_of_record, view_of_run

    if local:
        from itertools import islice

        from dspytrack.record.index import read_each
        from dspytrack.record.store import RUNS_DIR

        if filter_string or order_by:
            raise UsageError("--filter and --order-by are MLflow's; --local lists records, newest first")
        nothing = f"no runs under {RUNS_DIR}; `dspytrack optimize config.yaml` makes one"
        runs = [run for _, run in islice(read_each(view_of_record, RUNS_DIR, _warn), max_results)]
    else:
        tracker = tracker_from(env_file, experiment)
        runs = [view_of_run(run) for run in tracker.search(filter_string, max_results, order_by)]
        nothing = f"no runs{' that fit' if filter_string else ''} in {tracker.place}"
        nothing += "" if filter_string else "; `dspytrack optimize config.yaml` makes one"
    print_runs(runs, _known(_names(columns), runs), "json" if as_json else form, nothing)


@app.command()
def best(
    metric: Metric = "improvement_percentage",
    order: Order = None,
    filter_string: Filter = "",
    significant: Significant = False,
    form: Annotated[Literal["table", "json", "csv", "md", "id"], typer.Option("--format")] = "table",
    as_json: Json = False,
    experiment: Experiment = None,
    env_file: EnvFile = None,
) -> None:
    """The best finished run by a metric."""
    from dspytrack.cli.render.tables import print_runs
    from dspytrack.tracking.run_view import view_of_run

    run = tracker_from(env_file, experiment).best(metric, order, filter_string, significant)
    if as_json or form == "json":
        typer.echo(json.dumps(view_of_run(run).to_json(), indent=2, allow_nan=False))
    elif form == "id":
        typer.echo(run.info.run_id)
    else:
        print_runs([view_of_run(run)], list(dict.fromkeys([metric, *_names(_DEFAULT)])), form)


@app.command()
def show(
    ref: Annotated[str, typer.Argument(metavar="RUN", help="A run id, a record's id, or best.")],
    significant: Significant = False,
    as_json: Json = False,
    experiment: Experiment = None,
    env_file: EnvFile = None,
) -> None:
    """One run in full."""
    from dspytrack.cli.render.runs import print_run
    from dspytrack.tracking.run_view import view_of

    run = view_of(tracker_from(env_file, experiment), ref, significant)
    if as_json:
        typer.echo(json.dumps(run.to_json(), indent=2, allow_nan=False))
    else:
        print_run(run)


@app.command()
def sync(
    run_id: Annotated[
        str | None,
        typer.Argument(metavar="[RUN]", help="A run id or a record's id; without it all that MLflow lacks."),
    ] = None,
    as_json: Json = False,
    env_file: EnvFile = None,
) -> None:
    """Send runs that have not reached the tracking server yet. Doing it twice changes nothing."""
    from dspytrack.tracking.sync import sync as send

    sent = []
    for record, mlflow_run_id in send(config_from(env_file), run_id, warn=_warn):
        sent.append({"record": record.run_id, "run_id": mlflow_run_id})
        if not as_json:
            typer.echo(f"{record.run_id} -> {mlflow_run_id}")
    if as_json:
        typer.echo(json.dumps(sent, indent=2))
    else:
        typer.echo(f"{len(sent)} sent" if sent else "nothing to send; every finished run is in MLflow")
        typer.echo("next: dspytrack runs search")


def _warn(line: str) -> None:
    typer.echo(line, err=True)


def _known(columns: list[str], runs: Sequence[RunView]) -> list[str]:
    """The columns, each a metric that a run has or may have."""
    from dspytrack.results.catalogue import METRIC_NAMES
    from dspytrack.tracking.ranking import no_metric

    known = {name for run in runs for name in run.metrics} | set(METRIC_NAMES)
    for name in columns:
        if runs and name not in known:
            raise no_metric(name, known)
    return columns


def _names(columns: str) -> list[str]:
    return [name.strip() for name in columns.split(",") if name.strip()]
