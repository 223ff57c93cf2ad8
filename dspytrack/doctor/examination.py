"""The table of checks, and how it is gone through: a check whose ground is missing is skipped, none hangs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from dspytrack.doctor import lm, machine, server, settings, store
from dspytrack.doctor.check import Check, Place, failed, skipped
from dspytrack.errors import DspytrackError
from dspytrack.tracking import selftest

_SECONDS = 30.0  # each request has its own few seconds; this is for what hangs in spite of them


class Row(NamedTuple):
    """A check, and the rows without whose success it says nothing."""

    name: str
    look: Callable[[Place], Iterable[Check]]
    needs: tuple[str, ...] = ()


ROWS = (
    Row("versions", machine.versions),
    Row("env file", settings.env_file),
    Row("env file's mode", settings.secrets_kept),
    Row("settings", settings.values),
    Row("address", settings.address),
    Row("records", machine.records),
    Row("Docker", machine.docker),
    Row("disk", machine.disk),
    Row("server", server.parts, ("Docker",)),
    Row("reachable", server.reachable, ("address",)),
    Row("server's version", server.version, ("reachable",)),
    Row("clock", server.clock, ("reachable",)),
    Row("login", server.accepted, ("server's version", "server")),
    Row("experiment", store.experiment, ("login",)),
    Row("artifacts", store.artifacts, ("experiment",)),
    Row("registry", store.registry, ("address",)),
    Row("LM", lm.language_models),
)


def examine(place: Place) -> Iterator[Check]:
    """Every check, one after the other, secrets masked."""
    selftest.be_impatient()
    why: dict[str, str] = {}  # the row that failed, by each that failed or needs it
    for row in ROWS:
        missing = next((name for name in row.needs if name in why), None)
        if missing is not None:
            why[row.name] = why[missing]
            yield skipped(row.name, f"says nothing while `{why[missing]}` fails")
            continue
        for check in _within(row, place):
            if check.status == "fail":
                why[row.name] = row.name
            mend = place.without_secrets(check.mend) if check.mend else None
            yield replace(check, detail=place.without_secrets(check.detail), mend=mend)


def _within(row: Row, place: Place) -> list[Check]:
    """A row's checks, in a thread that nobody has to wait for."""
    found: list[Check] = []

    def look() -> None:
        try:
            found.extend(row.look(place))
        except DspytrackError as error:
            found.append(failed(row.name, str(error), getattr(error, "mend", None) or "as it says"))
        except Exception as error:  # noqa: BLE001 - one check's failure is its answer; the others go on
            found.append(failed(row.name, f"{type(error).__name__}: {error}", "tell us: this check itself failed"))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(_SECONDS)
    if thread.is_alive():
        return [*found, failed(row.name, f"no answer within {_SECONDS:.0f} s", "see what it waits for, and try again")]
    return found
