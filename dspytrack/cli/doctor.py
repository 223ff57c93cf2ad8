"""`dspytrack doctor`: what is wrong around a run, and how to fix it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dspytrack.cli.options import EnvFile, Json


def doctor(
    lm: Annotated[
        Path | None, typer.Option("--lm", metavar="CONFIG", help="Check its LMs, too: one tiny real call each.")
    ] = None,
    as_json: Json = False,
    env_file: EnvFile = None,
) -> None:
    """Check everything that can be wrong around a run, and print how to fix it. Exit code 6 where a check failed."""
    from dspytrack.cli.render.doctor import print_checks
    from dspytrack.doctor.examine import examine
    from dspytrack.doctor.folder_settings import FolderSettings

    checks = list(examine(FolderSettings.read(env_file, lm)))
    print_checks(checks, as_json)
    if any(check.status == "fail" for check in checks):
        raise typer.Exit(6)
