"""`dspytrack runs …`: search, best, show, sync."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from dspytrack.cli.options import EnvFile, Experiment, Format, Json, Order, Significant, config_from, tracker_from

app = typer.Typer(no_args_is_help=True, help="Find and look at runs.")
_DEFAULT = "improvement_percentage,statistical_significance,optimized_success_rate"
Columns = Annotated[str, typer.Option("--columns", help="Metrics to show, with commas.")]
Filter = Annotated[str, typer.Option("--filter", help="In MLflow's syntax, such as metrics.iterations > 5.")]


@app.command()
def search(
    filter_string: Filter = "",
    order_by: Annotated[
        list[str] | None, typer.Option("--order-by", help="Such as 'metrics.iterations DESC'; repeatable.")
    ] = None,
    max_results: Annotated[int, typer.Option("--max-results", min=1)] = 100,
    columns: Columns = _DEFAULT,
    form: Annotated[Format, typer.Option("--format")] = Format.table,
    as_json: Json = False,
    local: Annotated[bool, typer.Option("--local", help="The records in this folder; no server is asked.")] = False,
    experiment: Experiment = None,
    env_file: EnvFile = None,
) -> None:
    """List runs, newest first."""
    from dspytrack.cli.render.tables import print_runs
    from dspytrack.errors import UsageError
    from dspytrack.tracking.run_view import of_record, of_run

    if local:
        from itertools import islice

        from dspytrack.record.index import read_each
        from dspytrack.record.store import RUNS_DIR

        if filter_string or order_by:
            raise UsageError("--filter and --order-by are MLflow's; --local lists records as they are")
        nothing = f"no runs under {RUNS_DIR}; `dspytrack optimize config.yaml` makes one"
        documents = [document for _, document in islice(read_each(of_record, RUNS_DIR, _tell), max_results)]
    else:
        tracker = tracker_from(env_file, experiment)
        documents = [of_run(run) for run in tracker.search(filter_string, max_results, order_by)]
        nothing = f"no runs{' that fit' if filter_string else ''} in {tracker.place}"
        nothing += "" if filter_string else "; `dspytrack optimize config.yaml` makes one"
    print_runs(documents, _known(_names(columns), documents), Format.json if as_json else form, nothing)


@app.command()
def best(
    metric: Annotated[str, typer.Option("--metric", help="What the best is the best by.")] = "improvement_percentage",
    order: Annotated[Order | None, typer.Option("--order", help="Default: the metric's own better way.")] = None,
    filter_string: Filter = "",
    significant: Significant = False,
    form: Annotated[str, typer.Option("--format", help="table, json, csv, md or id.")] = "table",
    as_json: Json = False,
    experiment: Experiment = None,
    env_file: EnvFile = None,
) -> None:
    """The best finished run by a metric."""
    from dspytrack.cli.render.tables import print_runs
    from dspytrack.errors import UsageError, did_you_mean
    from dspytrack.tracking.run_view import of_run

    known = [*Format.__members__, "id"]
    if form not in known:
        raise UsageError(f"--format: expected {', '.join(known)}, not {form}.{did_you_mean(form, known)}")
    wanted = order.value if order else None
    run = tracker_from(env_file, experiment).best(metric, wanted, filter_string, significant)
    if as_json or form == "json":
        typer.echo(json.dumps(of_run(run), indent=2, allow_nan=False))
    elif form == "id":
        typer.echo(run.info.run_id)
    else:
        print_runs([of_run(run)], list(dict.fromkeys([metric, *_names(_DEFAULT)])), Format(form))


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
    from dspytrack.tracking.run_view import of_ref

    document = of_ref(tracker_from(env_file, experiment), ref, significant)
    if as_json:
        typer.echo(json.dumps(document, indent=2, allow_nan=False))
    else:
        print_run(document)


@app.command()
def sync(
    run_id: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="One run; without it all that is local.")
    ] = None,
    as_json: Json = False,
    env_file: EnvFile = None,
) -> None:
    """Send runs that have not reached the tracking server yet. Doing it twice changes nothing."""
    from dspytrack.tracking.sync import sync as send

    sent = []
    for record, mlflow_run_id in send(config_from(env_file), run_id, tell=_tell):
        sent.append({"record": record.run_id, "run_id": mlflow_run_id})
        if not as_json:
            typer.echo(f"{record.run_id} -> {mlflow_run_id}")
    if as_json:
        typer.echo(json.dumps(sent, indent=2))
    else:
        typer.echo(f"{len(sent)} sent" if sent else "nothing to send; every finished run is in MLflow")
        typer.echo("next: dspytrack runs search")


def _tell(line: str) -> None:
    typer.echo(line, err=True)


def _known(columns: list[str], documents: list[dict[str, Any]]) -> list[str]:
    """The columns, each a metric that a run has or may have."""
    from dspytrack.results.catalogue import METRIC_NAMES
    from dspytrack.tracking.ranking import no_metric

    known = {name for document in documents for name in document["metrics"]} | set(METRIC_NAMES)
    for name in columns:
        if documents and name not in known:
            raise no_metric(name, known)
    return columns


def _names(columns: str) -> list[str]:
    return [name.strip() for name in columns.split(",") if name.strip()]
