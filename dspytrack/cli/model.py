"""`dspytrack model …`: pull, predict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from dspytrack.cli.options import EnvFile, Experiment, Json, Significant, tracker_from
from dspytrack.cli.render.stdout_guard import answering

app = typer.Typer(no_args_is_help=True, help="Get programs and run them.")


@app.command()
def pull(
    ref: Annotated[str, typer.Argument(help="A run id, a record's id, or best.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The folder to write.")],
    significant: Significant = False,
    as_json: Json = False,
    experiment: Experiment = None,
    env_file: EnvFile = None,
) -> None:
    """Download a run's program: checksums verified, no pickle."""
    pulled = tracker_from(env_file, experiment).pull(ref, out, significant)
    typer.echo(
        json.dumps({"run_id": pulled.run_id, "folder": str(pulled.folder)}, indent=2) if as_json else pulled.folder
    )
    typer.echo(f"next: dspytrack model predict {out} --input rows.jsonl", err=True)


@app.command()
def predict(
    folder: Annotated[Path, typer.Argument(help="A folder written by `model pull`.")],
    source: Annotated[
        typer.FileText, typer.Option("--input", help="A JSONL file, - for standard input.", encoding="utf-8")
    ] = "-",  # type: ignore[assignment]
) -> None:
    """Run a pulled program on JSON lines; one JSON line out for each.

    Where rows fail the exit code is 6 if it was the LM each time, else 1; what the others answered is printed.
    """
    from dspytrack.lm.metering.failures import is_of_lm
    from dspytrack.programs.predict import predict as run

    rows, failures = 0, list[Exception]()
    with answering() as answer:
        for found in run(folder, (line for line in source if line.strip()), failed=failures.append):
            rows += 1
            typer.echo(json.dumps(found, ensure_ascii=False), file=answer)
    if failures:
        of_lm = sum(is_of_lm(error) for error in failures)
        typer.echo(f"{len(failures)} of {rows} rows failed{f', {of_lm} of them at the LM' if of_lm else ''}", err=True)
        raise typer.Exit(6 if of_lm == len(failures) else 1)
