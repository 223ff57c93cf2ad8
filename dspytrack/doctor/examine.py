"""Runs every check, one after the other: one that hangs is given up on, one whose ground is missing is skipped.

What is checked, and what fixes it, is in the modules beside this one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from dspytrack.doctor import connection, lm, machine, server, settings, store
from dspytrack.doctor.check import Check, failed, failed_with, skipped
from dspytrack.doctor.folder_settings import FolderSettings
from dspytrack.errors import DspytrackError
from dspytrack.tracking import selftest

_SECONDS = 30.0  # each request has a timeout of a few seconds; this is for what hangs nevertheless


class CheckGroup(NamedTuple):
    """A function that makes one or several checks, and the groups that have to pass first."""

    name: str
    run: Callable[[FolderSettings], Iterable[Check]]
    needs: tuple[str, ...] = ()


CHECKS = (
    CheckGroup("versions", machine.versions),
    CheckGroup("env file", settings.env_file),
    CheckGroup("env file's mode", settings.env_file_mode),
    CheckGroup("settings", settings.values),
    CheckGroup("address", settings.address),
    CheckGroup("records", machine.records),
    CheckGroup("Docker", machine.docker),
    CheckGroup("disk", machine.disk),
    CheckGroup("server", server.services, ("Docker",)),
    CheckGroup("reachable", connection.reachable, ("address",)),
    CheckGroup("server's version", connection.version, ("reachable",)),
    CheckGroup("clock", connection.clock, ("reachable",)),
    CheckGroup("login", connection.login, ("server's version", "server")),
    CheckGroup("experiment", store.experiment, ("login",)),
    CheckGroup("artifacts", store.artifacts, ("experiment",)),
    CheckGroup("registry", store.registry, ("address",)),
    CheckGroup("LM", lm.language_models),
)


def examine(here: FolderSettings, groups: Iterable[CheckGroup] = CHECKS) -> Iterator[Check]:
    """Run the checks in their order; secrets are masked in what they say."""
    selftest.be_impatient()
    cause: dict[str, str] = {}  # the group that failed, for each that failed or needs it
    for group in groups:
        missing = next((name for name in group.needs if name in cause), None)
        if missing is not None:
            cause[group.name] = cause[missing]
            yield skipped(group.name, f"cannot be checked while `{cause[missing]}` fails")
            continue
        for check in _run(group, here):
            if check.status == "fail":
                cause[group.name] = group.name
            fix = here.without_secrets(check.fix) if check.fix else None
            yield replace(check, detail=here.without_secrets(check.detail), fix=fix)


def _run(group: CheckGroup, here: FolderSettings) -> list[Check]:
    """The checks of a group, run in a thread that is abandoned when it takes too long."""
    checks: list[Check] = []

    def run() -> None:
        try:
            checks.extend(group.run(here))
        except DspytrackError as error:
            checks.append(failed_with(group.name, error, "do what the message says"))
        except Exception as error:  # noqa: BLE001 - a check that breaks is a failed check; the others still run
            detail = f"{type(error).__name__}: {error}"
            checks.append(failed(group.name, detail, "report this as a bug: the check itself failed"))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(_SECONDS)
    if not thread.is_alive():
        return checks
    return [*checks, failed(group.name, f"no answer within {_SECONDS:.0f} s", "find out what it waits for, and retry")]
