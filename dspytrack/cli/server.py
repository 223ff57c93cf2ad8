"""`dspytrack server …`: a tracking server in one command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from dspytrack.cli.options import Json
from dspytrack.tracking import ENV_FILE

app = typer.Typer(
    no_args_is_help=True, help="Run an MLflow server: in Docker, as a local process, or from files for a cluster."
)
EnvFile = Annotated[Path, typer.Option("--env-file", help="The file with the server's settings.")]


@app.command()
def up(
    local: Annotated[
        bool | None,
        typer.Option("--local/--compose", help="A process on SQLite, or Docker. Default: as before, else Docker."),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option("--port", min=1, max=65535, help="The port to listen on. Default: as before, else 5000."),
    ] = None,
    host: Annotated[
        str | None, typer.Option("--host", help="The address to listen on. Default: as before, else 127.0.0.1.")
    ] = None,
    auth: Annotated[
        bool | None,
        typer.Option("--auth/--no-auth", help="Require a login; a random admin password is written to the env file."),
    ] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Allow --host without --auth.")] = False,
    artifacts: Annotated[
        str | None, typer.Option("--artifacts", help="Store artifacts in s3://bucket/path. Default: on a volume.")
    ] = None,
    with_s3: Annotated[bool, typer.Option("--with-s3", help="Add an S3 store for artifacts, on a volume.")] = False,
    backend_store_uri: Annotated[
        str | None,
        typer.Option(
            "--backend-store-uri",
            envvar="MLFLOW_BACKEND_STORE_URI",
            help="With --local: a PostgreSQL in place of SQLite.",
        ),
    ] = None,
    env_file: EnvFile = ENV_FILE,
    as_json: Json = False,
) -> None:
    """Start a server, wait until it is healthy, and make it the one that `optimize` uses."""
    from dspytrack.cli.render.server import print_status, progress_line
    from dspytrack.server import current
    from dspytrack.server.settings import ServerOptions

    options = ServerOptions(env_file, port, host, auth, insecure, artifacts, with_s3, backend_store_uri)
    with progress_line() as progress:
        found = current.up(options, None if local is None else "local" if local else "compose", progress)
    print_status(found, as_json, f"dspytrack optimize config.yaml (finds it by {env_file})")


@app.command()
def down(
    delete_data: Annotated[bool, typer.Option("--delete-data", help="Delete runs, models and artifacts, too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    env_file: EnvFile = ENV_FILE,
    as_json: Json = False,
) -> None:
    """Stop the server; its data stays unless --delete-data is given."""
    from dspytrack.cli.render.server import print_done
    from dspytrack.server import current

    if delete_data and not yes:
        _ask("delete every run, model and artifact of this server for good?")
    notes = current.down(env_file, delete_data)
    data = "deleted" if delete_data else "kept"
    document = {"data": data, "notes": list(notes)}
    print_done(document, f"the server is down, its data is {data}", as_json, "dspytrack server up", notes)


@app.command()
def status(env_file: EnvFile = ENV_FILE, as_json: Json = False) -> None:
    """Show each service, its health and its data; exit code 6 where the server is not healthy."""
    from dspytrack.cli.render.server import print_status
    from dspytrack.server import current

    found = current.status(env_file)
    print_status(found, as_json, "dspytrack server logs" if found.running else "dspytrack server up")
    if not found.healthy:
        raise typer.Exit(6)


@app.command()
def logs(
    service: Annotated[str | None, typer.Argument(help="mlflow, postgres or s3. Default: all.")] = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Keep printing until interrupted.")] = False,
    env_file: EnvFile = ENV_FILE,
) -> None:
    """Print the server's log."""
    from dspytrack.server import current

    for line in current.logs(env_file, service, follow):
        typer.echo(line)


@app.command()
def upgrade(
    to: Annotated[str | None, typer.Option("--to", help="An MLflow version. Default: the installed one.")] = None,
    env_file: EnvFile = ENV_FILE,
    as_json: Json = False,
) -> None:
    """Back up, migrate and start another MLflow version; where that fails, go back to the old one."""
    from dspytrack.cli.render.server import print_upgrade, progress_line
    from dspytrack.server.compose import upgrade as core

    with progress_line() as progress:
        done = core.upgrade(progress, to, env_file)
    print_upgrade(done, as_json)


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="The file to write; it must not exist yet.")],
    env_file: EnvFile = ENV_FILE,
    as_json: Json = False,
) -> None:
    """Back up the database and the artifacts into one file."""
    from dspytrack.cli.render.server import print_done, progress_line
    from dspytrack.server.compose import backup as core

    with progress_line() as progress:
        written = core.backup(file, progress, env_file)
    print_done({"file": str(written)}, str(written), as_json, f"dspytrack server restore {file}")


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="A file written by `server backup`.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    env_file: EnvFile = ENV_FILE,
    as_json: Json = False,
) -> None:
    """Replace the server's data with a backup's."""
    from dspytrack.cli.render.server import print_done, progress_line
    from dspytrack.server.compose import backup as core

    if not yes:
        _ask("replace every run, model and artifact of this server?")
    with progress_line() as progress:
        info = core.restore(file, progress, env_file)
    sentence = f"restored the backup of {info.made} (MLflow {info.mlflow_version})"
    print_done({"file": str(file), **info.model_dump()}, sentence, as_json, "dspytrack server status")


@app.command()
def manifests(
    compose: Annotated[bool, typer.Option("--compose", help="Docker Compose files and their .env.mlflow.")] = False,
    kubernetes: Annotated[bool, typer.Option("--kubernetes", help="A folder for Kustomize.")] = False,
    helm_values: Annotated[bool, typer.Option("--helm-values", help="Values for MLflow's own chart.")] = False,
    out: Annotated[Path, typer.Option("-o", "--out", help="The folder to write into.")] = Path(),
) -> None:
    """Write the files to run a server without dspytrack."""
    from dspytrack.cli.render.server import print_manifests
    from dspytrack.server.manifests import ManifestKind, write_manifests

    asked: dict[ManifestKind, bool] = {"compose": compose, "kubernetes": kubernetes, "helm-values": helm_values}
    print_manifests(write_manifests([kind for kind, wanted in asked.items() if wanted], out))


def _ask(question: str) -> None:
    """Ask a person, and leave unless the answer is yes."""
    from dspytrack.errors import UsageError

    if not sys.stdin.isatty():
        raise UsageError(f"{question} There is no terminal to answer in; --yes does it without asking")
    if not typer.confirm(question, err=True):
        typer.echo("nothing was changed", err=True)
        raise typer.Exit(1)
