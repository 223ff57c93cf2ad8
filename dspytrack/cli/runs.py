"""`dspytrack runs …`: search, best, show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from mlflow.entities import Run

app = typer.Typer(no_args_is_help=True, help="Find and look at runs.")
EnvFile = Annotated[Path | None, typer.Option("--env-file", help="Default: .env.mlflow.")]
Columns = Annotated[str, typer.Option("--columns", help="Metrics shown in the table, with commas.")]
_COLUMNS = "improvement_percentage,statistical_significance,optimized_success_rate,duration_seconds"


def as_document(run: Run) -> dict[str, Any]:
    """A run as JSON."""
    head = {"run_id": run.info.run_id, "run_name": run.info.run_name, "status": run.info.status}
    return head | {"metrics": run.data.metrics, "params": run.data.params, "tags": run.data.tags}


@app.command()
def search(
    filter_string: Annotated[str, typer.Option("--filter", help="In MLflow's syntax.")] = "",
    order_by: Annotated[list[str] | None, typer.Option("--order-by")] = None,
    max_results: Annotated[int, typer.Option("--max-results", min=1)] = 100,
    columns: Columns = _COLUMNS,
    form: Annotated[str, typer.Option("--format", help="table or json.")] = "table",
    as_json: Annotated[bool, typer.Option("--json")] = False,
    env_file: EnvFile = None,
) -> None:
    """List runs."""
    from dspytrack.tracking.config import MLflowConfig
    from dspytrack.tracking.tracker import MLflowTracker

    runs = MLflowTracker(MLflowConfig.load(env_file)).search(filter_string, max_results, order_by)
    if as_json or form == "json":
        typer.echo(json.dumps([as_document(run) for run in runs], indent=2))
        return
    _print_table(runs, columns.split(","))


@app.command()
def best(
    metric: Annotated[str, typer.Option("--metric")] = "improvement_percentage",
    order: Annotated[str | None, typer.Option("--order", help="desc or asc; default: the better way.")] = None,
    filter_string: Annotated[str, typer.Option("--filter", help="In MLflow's syntax.")] = "",
    significant: Annotated[bool, typer.Option("--significant", help="Only runs with p < 0.05.")] = False,
    form: Annotated[str, typer.Option("--format", help="table, json or id.")] = "table",
    as_json: Annotated[bool, typer.Option("--json")] = False,
    env_file: EnvFile = None,
) -> None:
    """The best finished run by a metric."""
    from dspytrack.tracking.config import MLflowConfig
    from dspytrack.tracking.tracker import MLflowTracker

    run = MLflowTracker(MLflowConfig.load(env_file)).best(metric, order, filter_string, significant)
    if as_json or form == "json":
        typer.echo(json.dumps(as_document(run), indent=2))
    elif form == "id":
        typer.echo(run.info.run_id)
    else:
        _print_table([run], list(dict.fromkeys([metric, *_COLUMNS.split(",")])))


@app.command()
def show(
    ref: Annotated[str, typer.Argument(metavar="RUN", help="A run id, or best.")],
    as_json: Annotated[bool, typer.Option("--json")] = False,
    env_file: EnvFile = None,
) -> None:
    """One run in full."""
    from rich.console import Console
    from rich.table import Table

    from dspytrack.cli.values import format_value
    from dspytrack.tracking.config import MLflowConfig
    from dspytrack.tracking.tracker import MLflowTracker

    run = MLflowTracker(MLflowConfig.load(env_file)).get(ref)
    if as_json:
        typer.echo(json.dumps(as_document(run), indent=2))
        return
    console = Console(highlight=False)
    console.print(f"{run.info.run_name} · {run.info.run_id} · {run.data.tags.get('status', run.info.status)}")
    table = Table("metric", "value")
    for name, value in sorted(run.data.metrics.items()):
        table.add_row(name, format_value(name, value))
    console.print(table)
    console.print(f"verdict: {run.data.tags.get('verdict', 'none')}")
    console.print(f"next: dspytrack model pull {run.info.run_id} -o model/")


def _print_table(runs: list[Run], columns: list[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    from dspytrack.cli.values import format_value

    console = Console(highlight=False)
    if not runs:
        console.print("no runs; `dspytrack optimize config.yaml` makes one")
        return
    table = Table("run_id", "status", "verdict", *columns)
    for run in runs:
        cells = [format_value(name, run.data.metrics.get(name)) for name in columns]
        status = run.data.tags.get("status", run.info.status)
        table.add_row(run.info.run_id, status, run.data.tags.get("verdict", ""), *cells)
    console.print(table)
    console.print(f"next: dspytrack runs show {runs[0].info.run_id}")
