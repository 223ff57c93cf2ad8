"""The `dspytrack` command: puts the command groups together and turns errors into a sentence and an exit code.

Nothing here imports dspy or mlflow: each command imports its core when it runs.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated

import typer
from typer.exceptions import TyperException

from dspytrack import __version__
from dspytrack.cli import doctor, model, optimize, runs, server
from dspytrack.config.masking import masked
from dspytrack.errors import DspytrackError, RunStop

app = typer.Typer(
    name="dspytrack",
    help="Tracked DSPy optimization runs: any optimizer, an honest test, MLflow, exit codes for CI.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("optimize")(optimize.optimize)
app.add_typer(runs.app, name="runs")
app.add_typer(model.app, name="model")
app.add_typer(server.app, name="server")
app.command("doctor")(doctor.doctor)


def _version(shown: bool) -> None:
    if shown:
        typer.echo(f"dspytrack {__version__}")
        raise typer.Exit


@app.callback()
def root(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    """Options of every command."""


@app.command()
def schema() -> None:
    """Print the JSON Schema of the config file."""
    import json

    from dspytrack.config.schema import OptimizationRequest

    typer.echo(json.dumps(OptimizationRequest.model_json_schema(by_alias=True), indent=2))


def main() -> None:
    """Run the command line; the one place where an error becomes a line on stderr and an exit code."""
    debug = "--debug" in sys.argv[1:]
    where = "" if debug else " (--debug shows where)"
    arguments = [word for word in sys.argv[1:] if word != "--debug"]
    try:
        code = app(arguments, standalone_mode=False)
    except typer.Exit as done:
        code = done.exit_code
    except TyperException as error:
        show = getattr(error, "show", None)  # a usage error draws the usage line with its message
        if show is not None:
            show()
        else:
            typer.echo(f"error: {error.format_message()}", err=True)
        code = error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        typer.echo("interrupted", err=True)
        code = 130
    except (DspytrackError, RunStop) as error:
        _trace(error, debug)
        typer.echo(f"error: {masked(str(error))}", err=True)
        code = error.exit_code
    except BrokenPipeError:
        sys.stderr.close()
        code = 1
    except SystemExit as left:
        if "_DSPYTRACK_COMPLETE" in os.environ:  # the shell's completion ends so
            raise
        _trace(left, debug)
        if not isinstance(left.__context__, BrokenPipeError):  # Typer ends so where its reader is gone, as `head` is
            typer.echo(f"error: code of yours called sys.exit({left.code!r}){where}", err=True)
        code = 1
    except Exception as error:  # noqa: BLE001 - what no other line names ends as a sentence, too
        _trace(error, debug)
        typer.echo(f"error: {type(error).__name__}: {masked(str(error))}{where}", err=True)
        code = 1
    _leave(code if isinstance(code, int) else 0)


def _trace(error: BaseException, debug: bool) -> None:
    """Show where an error comes from, if that is asked for; masked, as a traceback repeats the error's text."""
    if debug:
        typer.echo(masked("".join(traceback.format_exception(error))), err=True, nl=False)


def _leave(code: int) -> None:
    """End the process now where work was abandoned: a call that hangs in a thread would hold it up for minutes."""
    interrupt = sys.modules.get("dspytrack.runs.interrupt")
    if code == 130 or (interrupt is not None and interrupt.has_abandoned_work()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
