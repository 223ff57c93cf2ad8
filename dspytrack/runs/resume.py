"""Reopens the record of a run that was cut off, unless something has changed that its outputs depend on.

Which keys of the request may change is said by `changes.py`; what a new record holds by `start.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from dspytrack.errors import ChangedError, NotFoundError, UsageError
from dspytrack.record.checksum import sha256_of
from dspytrack.record.index import find, read_each
from dspytrack.record.info import FORMAT, RequestChange
from dspytrack.record.store import UNFINISHED, Record, now
from dspytrack.runs import NEWEST
from dspytrack.runs.artifacts import write_inputs
from dspytrack.runs.changes import CAPS, Change, changes, raises_a_cap
from dspytrack.runs.environment import versions
from dspytrack.runs.plan import Plan
from dspytrack.runs.start import arguments_of, tags_of


def reopen(plan: Plan, runs_dir: Path, which: str, warn: Callable[[str], None] = lambda _: None) -> Record:
    """The record of a run to resume; settings that no output depends on are taken from the request as it is now.

    Args:
        plan: what the request says now.
        runs_dir: where records are kept.
        which: a run id (the record's or MLflow's), or "newest": the newest of this config file that can be resumed.
        warn: is given a line for each setting that has changed, and for each record that is damaged and left out.

    Raises:
        NotFoundError: where there is none.
        UsageError: where it has ended or is running.
        ChangedError: where what it was started with has changed, naming each thing.
    """
    record = find(which, runs_dir) if which != NEWEST else _newest(plan, runs_dir, warn)
    changed = changes(record.request, plan.request.resolved())
    if not _can_be_resumed(record, changed):
        raise _ended(record)
    refused = [*_format(record), *(str(one) for one in changed if not one.is_free), *_files_and_versions(record, plan)]
    if refused:
        raise ChangedError(record.run_id, refused)
    if changed:
        _update_request(record, plan, changed)
        for one in changed:
            warn(f"{one}{_stays(record, one)}")
    return record


def _can_be_resumed(record: Record, changed: list[Change]) -> bool:
    """Whether there is something left to do: at its budget, a run can be resumed once a cap is raised."""
    state = record.state
    return state in UNFINISHED or (state == "budget_reached" and raises_a_cap(changed))


def _ended(record: Record) -> UsageError:
    state = record.state
    if state == "budget_reached":
        caps = [f"constraints.{name}" for name in CAPS if (record.request.get("constraints") or {}).get(name)]
        return UsageError(f"{record.run_id} has reached its budget; raise {' or '.join(caps)} to resume it")
    return UsageError(f"{record.run_id} is {state}; there is nothing to resume")


def _newest(plan: Plan, runs_dir: Path, warn: Callable[[str], None]) -> Record:
    source = plan.request.source

    def fits(record: Record) -> bool:
        if record.info.config != (None if source is None else str(source)):
            return False
        return _can_be_resumed(record, changes(record.request, plan.request.resolved()))

    for record, wanted in read_each(fits, runs_dir, warn):
        if wanted:
            return record
    raise NotFoundError(f"no unfinished run of {source or 'this request'} under {runs_dir}")


def _update_request(record: Record, plan: Plan, changed: list[Change]) -> None:
    """Keep the request as it is now; how it was before stays in the record's list of changes."""
    before = record.info
    keys = {one.key: {"was": one.was, "is": one.now} for one in changed}
    record.write("request.json", plan.request.resolved())
    write_inputs(record, plan)
    record.update_info(
        tags=tags_of(plan, before.git_commit),
        params={**before.params, **arguments_of(plan)},
        changes=[*before.changes, RequestChange(at=now(), keys=keys)],
    )


def _stays(record: Record, change: Change) -> str:
    """An MLflow run cannot move to another experiment."""
    experiment = record.tracking.experiment
    moves = change.key == "tracking.experiment_name" and experiment is not None
    return f"; this run stays in the experiment {experiment}, where it began" if moves else ""


def _format(record: Record) -> Iterator[str]:
    if record.info.format != FORMAT:
        yield f"the record has format {record.info.format}, this version of dspytrack resumes format {FORMAT}"


def _files_and_versions(record: Record, plan: Plan) -> Iterator[str]:
    """What differs from the start of the run besides the request, in words."""
    info = record.info
    if info.fingerprint.data != plan.splits.fingerprint:
        yield "the data has changed"
    for name, before in sorted(info.fingerprint.sources.items()):
        path = plan.request.base_dir / name
        if not path.is_file() or sha256_of(path) != before:
            yield f"{name} has changed"
    now_used = versions()
    for name in ("dspy", "python"):
        if name in info.versions and info.versions[name] != now_used[name]:
            yield f"{name} was {info.versions[name]}, is {now_used[name]}"
