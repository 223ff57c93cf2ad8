"""`dspytrack server …`: a tracking server in one command."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dspytrack.tracking import ENV_FILE

if TYPE_CHECKING:
    from dspytrack.server.status import Progress

app = typer.Typer(no_args_is_help=True, help="Run an MLflow server: Docker Compose, a local process, manifests.")
EnvFile = Annotated[Path, typer.Option("--env-file", help="Where the server's settings are kept.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@app.command()
def up(
    local: Annotated[
        bool | None,
        typer.Option("--local/--compose", help="A process on SQLite, or Docker; default: as before, else Docker."),
    ] = None,
    port: Annotated[int | None, typer.Option("--port", min=1, max=65535, help="Default: 5000.")] = None,
    host: Annotated[str | None, typer.Option("--host", help="The address to listen on; default: 127.0.0.1.")] = None,
    auth: Annotated[bool | None, typer.Option("--auth/--no-auth", help="Logins, with a random admin password.")] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Allow --host without --auth.")] = False,
    artifacts: Annotated[str | None, typer.Option("--artifacts", help="s3://bucket/path; default: a volume.")] = None,
    with_s3: Annotated[bool, typer.Option("--with-s3", help="Add an S3 store, on a volume.")] = False,
    backend_store_uri: Annotated[
        str | None,
        typer.Option("--backend-store-uri", envvar="MLFLOW_BACKEND_STORE_URI", help="With --local: PostgreSQL."),
    ] = None,
    env_file: EnvFile = ENV_FILE,
    as_json: AsJson = False,
) -> None:
    """Start a server, wait until it is healthy, and make it the one that `optimize` uses."""
    from dspytrack.cli.render.server import print_status
    from dspytrack.server import current
    from dspytrack.server.settings import Wish

    wish = Wish(env_file, port, host, auth, insecure, artifacts, with_s3, backend_store_uri)
    with _progress() as progress:
        found = current.up(wish, None if local is None else "local" if local else "compose", progress)
    print_status(found, as_json, f"dspytrack optimize config.yaml (uses it by {env_file})")


@app.command()
def down(
    delete_data: Annotated[bool, typer.Option("--delete-data", help="Runs, models and artifacts too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    env_file: EnvFile = ENV_FILE,
    as_json: AsJson = False,
) -> None:
    """Stop the server; its data stays unless --delete-data is given."""
    from dspytrack.cli.render.server import print_done
    from dspytrack.server import current

    if delete_data and not yes:
        _ask("delete every run, model and artifact of this server for good?")
    left = current.down(env_file, delete_data)
    data = "deleted" if delete_data else "kept"
    document = {"data": data, "notes": list(left)}
    print_done(document, f"the server is down, its data is {data}", as_json, "dspytrack server up", left)


@app.command()
def status(env_file: EnvFile = ENV_FILE, as_json: AsJson = False) -> None:
    """Each service, its health and data; exit code 6 where the server is not healthy."""
    from dspytrack.cli.render.server import print_status
    from dspytrack.server import current

    found = current.status(env_file)
    print_status(found, as_json, "dspytrack server logs" if found.running else "dspytrack server up")
    if not found.healthy:
        raise typer.Exit(6)


@app.command()
def logs(
    service: Annotated[str | None, typer.Argument(help="mlflow, postgres or s3; default: all.")] = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on until interrupted.")] = False,
    env_file: EnvFile = ENV_FILE,
) -> None:
    """Print the server's log."""
    from dspytrack.server import current

    for line in current.logs(env_file, service, follow):
        typer.echo(line)


@app.command()
def upgrade(
    to: Annotated[str | None, typer.Option("--to", help="A version; default: the installed MLflow's.")] = None,
    env_file: EnvFile = ENV_FILE,
    as_json: AsJson = False,
) -> None:
    """Back up, migrate and start another MLflow version; goes back by itself where that fails."""
    from dspytrack.cli.render.server import print_done
    from dspytrack.server import current
    from dspytrack.server.compose import backup as backups

    current.check_compose(env_file, "upgrade")
    with _progress() as progress:
        done = backups.upgrade(progress, to, env_file)
    document = done._asdict() | {"backup": str(done.backup) if done.backup else None}
    sentence = f"MLflow {done.before} -> {done.after}; the data as it was: {done.backup}"
    if done.backup is None:
        sentence = f"the server is MLflow {done.after} already"
    print_done(document, sentence, as_json, "dspytrack server status")


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="A new file.")], env_file: EnvFile = ENV_FILE, as_json: AsJson = False
) -> None:
    """Write the database and the artifacts into one file."""
    from dspytrack.cli.render.server import print_done
    from dspytrack.server import current
    from dspytrack.server.compose import backup as backups

    current.check_compose(env_file, "backup")
    with _progress() as progress:
        written = backups.backup(file, progress, env_file)
    print_done({"file": str(written)}, str(written), as_json, f"dspytrack server restore {file}")


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="A file written by `server backup`.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    env_file: EnvFile = ENV_FILE,
    as_json: AsJson = False,
) -> None:
    """Replace the server's data by a backup's."""
    from dspytrack.cli.render.server import print_done
    from dspytrack.server import current
    from dspytrack.server.compose import backup as backups

    current.check_compose(env_file, "restore")
    if not yes:
        _ask("replace every run, model and artifact of this server?")
    with _progress() as progress:
        about = backups.restore(file, progress, env_file)
    sentence = f"restored what was saved at {about['made']} (MLflow {about['mlflow_version']})"
    print_done({"file": str(file), **about}, sentence, as_json, "dspytrack server status")


@app.command()
def manifests(
    compose: Annotated[bool, typer.Option("--compose", help="Docker Compose files and their .env.mlflow.")] = False,
    kubernetes: Annotated[bool, typer.Option("--kubernetes", help="A Kustomize folder.")] = False,
    helm_values: Annotated[bool, typer.Option("--helm-values", help="Values for MLflow's own chart.")] = False,
    out: Annotated[Path, typer.Option("-o", "--out", help="The folder to write into.")] = Path(),
) -> None:
    """Write the files of a server of your own."""
    from dspytrack.errors import UsageError

    if not (compose or kubernetes or helm_values):
        raise UsageError("name what to write: --compose, --kubernetes or --helm-values")
    written: list[Path] = []
    last = "dspytrack server up"
    if compose:
        from dspytrack.server.compose.backend import write_compose

        written += write_compose(out)
        last = f"docker compose -f {out / 'docker-compose.mlflow.yml'} up -d"
    if kubernetes:
        from dspytrack.server.kubernetes.manifests import write_kubernetes

        written += write_kubernetes(out)
        last = f"kubectl apply -k {out}"
    if helm_values:
        from dspytrack.server.kubernetes.manifests import write_helm_values

        written.append(write_helm_values(out))
        last = f"helm upgrade --install mlflow CHART -f {written[-1]}"
    for file in written:
        typer.echo(str(file))
    typer.echo(f"next: {last}", err=True)


@contextmanager
def _progress() -> Iterator[Progress]:
    """A line on a terminal that says what is going on; without one, a line for each new thing."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    if console.is_terminal:
        with console.status("starting") as line:
            yield lambda message: line.update(message)
        return
    said: set[str] = set()

    def say(message: str) -> None:
        if message not in said:
            said.add(message)
            console.print(message, markup=False)

    yield say


def _ask(question: str) -> None:
    """Go on only where a person says yes."""
    from dspytrack.errors import UsageError

    if not sys.stdin.isatty():
        raise UsageError(f"{question} nobody is here to answer; --yes does it unasked")
    if not typer.confirm(question, err=True):
        typer.echo("nothing was changed", err=True)
        raise typer.Exit(1)
