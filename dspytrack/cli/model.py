"""`dspytrack model …`: pull, predict."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Get programs and run them.")


@app.command()
def pull(
    ref: Annotated[str, typer.Argument(help="A run id, or best.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The folder to write.")],
    env_file: Annotated[Path | None, typer.Option("--env-file", help="Default: .env.mlflow.")] = None,
) -> None:
    """Download a run's program: checksums verified, no pickle."""
    from dspytrack.tracking.config import MLflowConfig
    from dspytrack.tracking.tracker import MLflowTracker

    typer.echo(str(MLflowTracker(MLflowConfig.load(env_file)).pull(ref, out)))
    typer.echo(f"next: dspytrack model predict {out} --input rows.jsonl", err=True)


@app.command()
def predict(
    folder: Annotated[Path, typer.Argument(help="A folder written by `model pull`.")],
    source: Annotated[str, typer.Option("--input", help="A JSONL file, - for standard input.")] = "-",
) -> None:
    """Run a pulled program on JSON lines; one JSON line out for each."""
    from dspytrack.tracking.model import predict as run

    with sys.stdin if source == "-" else Path(source).open(encoding="utf-8") as lines:
        for found in run(folder, (json.loads(line) for line in lines if line.strip())):
            typer.echo(json.dumps(found, ensure_ascii=False, default=str))
