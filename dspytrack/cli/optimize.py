"""`dspytrack optimize`: parse, run the pipeline, print."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from dspytrack.cli.options import tracked_in
from dspytrack.cli.render.stdout_guard import answering
from dspytrack.errors import UnreachableError, UsageError
from dspytrack.runs import NEWEST

if TYPE_CHECKING:
    from dspytrack.config.schema import OptimizationRequest
    from dspytrack.tracking.config import MLflowConfig

Show = Callable[[bool, TextIO], int]
"""Prints what came of it, as JSON or for people, and says the exit code."""
EXIT_CODES = {"completed": 0, "budget_reached": 5, "interrupted": 130, "failed": 1}


def optimize(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="The config file.")],
    run_after_resume: Annotated[str | None, typer.Argument(metavar="RUN", hidden=True)] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key, such as seed=1.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, print the plan, call no LM.")] = False,
    probe: Annotated[
        int, typer.Option("--probe", min=0, metavar="N", help="With --dry-run: really run N examples to estimate cost.")
    ] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume the newest unfinished run of this config, or the one of --run.")
    ] = False,
    run: Annotated[str | None, typer.Option("--run", metavar="RUN", help="With --resume: which run.")] = None,
    allow_changes: Annotated[
        bool, typer.Option("--allow-changes", help="With --resume: start a new run where something has changed.")
    ] = False,
    no_tracking: Annotated[bool, typer.Option("--no-tracking", help="Keep the record, send nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON document.")] = False,
    env_file: Annotated[Path | None, typer.Option("--env-file", help="Default: .env.mlflow.")] = None,
) -> None:
    """Optimize a DSPy program: a tracked, honestly tested run."""
    from dspytrack.config.loader import load_request, located

    config, which = _named(config, run_after_resume, run, resume)
    _check_options(dry_run, probe, which, allow_changes)
    with answering() as answer:
        request = load_request(config, settings or ())
        with located(config):
            mlflow_config = None if no_tracking else tracked_in(env_file)
            show = _planned(request, probe) if dry_run else _ended(request, mlflow_config, which, allow_changes)
        code = show(as_json, answer)
    if code:
        raise typer.Exit(code)


def _named(config: Path, other: str | None, run: str | None, resume: bool) -> tuple[Path, str | None]:
    """The config file, and the run to resume: an id, `newest`, or None.

    `--resume RUN` is understood as well as `--resume --run RUN`; the config file may stand before it or behind.

    Raises:
        UsageError: for a run without --resume, or two of them.
    """
    if other is not None:
        if not resume:
            raise UsageError(f"unexpected argument {other}; to resume that run: --resume --run {other}")
        if run is not None:
            raise UsageError(f"two runs to resume, {other} and {run}; give one")
        config, run = (Path(other), str(config)) if other.endswith((".yaml", ".yml")) else (config, other)
    if run is not None and not resume:
        raise UsageError("--run goes with --resume")
    return config, (run or NEWEST) if resume else None


def _check_options(dry_run: bool, probe: int, resume: str | None, allow_changes: bool) -> None:
    """See that no option is given which another one would have to go with: it would be passed over, and money spent.

    Raises:
        UsageError: naming the option.
    """
    if probe and not dry_run:
        raise UsageError("--probe is for --dry-run; without it the whole run would start")
    if resume is not None and dry_run:
        raise UsageError("--resume continues a run, --dry-run starts none; give one of them")
    if allow_changes and resume is None:
        raise UsageError("--allow-changes is for --resume")


def _planned(request: OptimizationRequest, probe: int) -> Show:
    """Plan a run; what shows the plan, and its exit code."""
    from dspytrack.cli.render.plans import print_plan
    from dspytrack.runs.estimate import estimate, run_probe
    from dspytrack.runs.plan import make_plan

    plan = make_plan(request)
    probed = run_probe(plan, probe) if probe else None
    phases = estimate(plan, probed)

    def show(as_json: bool, answer: TextIO) -> int:
        print_plan(plan, phases, probed, as_json, answer)
        return 0

    return show


def _ended(
    request: OptimizationRequest, mlflow_config: MLflowConfig | None, resume: str | None, allow_changes: bool
) -> Show:
    """Run to the end; what shows the result, and its exit code."""
    from dspytrack.cli.render.progress import watching
    from dspytrack.cli.render.results import print_result
    from dspytrack.pipeline import OptimizationPipeline

    with watching(sys.stderr) as progress:
        pipeline = OptimizationPipeline(mlflow_config, mlflow_config is not None, listener=progress)
        result = pipeline.run(request, resume=resume, allow_changes=allow_changes)

    def show(as_json: bool, answer: TextIO) -> int:
        print_result(result, as_json, answer, mlflow_config.experiment_name if mlflow_config else None)
        return UnreachableError.exit_code if result.unreachable else EXIT_CODES[result.status]

    return show
