"""Opens the record of a run: a new one, or one that was cut off, refused where what it was started with has changed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from dspytrack.errors import ChangedError, NotFoundError, UsageError
from dspytrack.record.checksum import sha256_of
from dspytrack.record.index import find, read_each
from dspytrack.record.info import FORMAT, RequestChange
from dspytrack.record.store import UNFINISHED, Record, now
from dspytrack.runs import NEWEST
from dspytrack.runs.artifacts import write_inputs
from dspytrack.runs.changes import CAPS, Change, changes, raises_a_cap
from dspytrack.runs.environment import versions_and_commit
from dspytrack.runs.plan import Plan


def open_new(plan: Plan, runs_dir: Path, stated: Mapping[str, float]) -> Record:
    """A record with everything known before the first LM call.

    Args:
        plan: what will be run.
        runs_dir: where records are kept.
        stated: baseline metrics that the caller states.

    Raises:
        ConfigError: where the folder cannot be written.
    """
    request, record = plan.request, Record.create(runs_dir)
    stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S")
    facts = versions_and_commit(request.base_dir)
    splits = {n: [item.example_id for item in getattr(plan.splits, n)] for n in ("train", "val", "test")}
    record.write("request.json", request.resolved())
    record.write("splits.json", splits)
    write_inputs(record, plan)
    record.update_info(
        format=FORMAT,
        run_name=f"opt_{request.target.type}_{request.target.id}_{stamp}",
        started_at=now(),
        config=str(request.source) if request.source else None,
        fingerprint={"data": plan.splits.fingerprint, "sources": _sources(request.base_dir)},
        tags=_tags(plan, facts["git_commit"]),
        params=_arguments(plan) | {f"stated_baseline_{name}": value for name, value in stated.items()},
        **facts,
    )
    return record


def _tags(plan: Plan, git_commit: str | None) -> dict[str, str]:
    target = plan.request.target
    return plan.request.tracking.tags | {
        "target_type": target.type,
        "target_id": target.id,
        "target_scope": target.scope,
        "algorithms": ",".join(one.name for one in plan.optimizers),
        "dataset_fingerprint": plan.splits.fingerprint,
        "git_commit": git_commit or "unknown",
    }


def _arguments(plan: Plan) -> dict[str, Any]:
    return {
        f"optimizer_args.{one.name}.{name}": value for one in plan.optimizers for name, value in one.arguments.items()
    }


def reopen(plan: Plan, runs_dir: Path, which: str, tell: Callable[[str], None] = lambda _: None) -> Record:
    """The record of a run to go on with. What alters no answer is taken from the request as it is now.

    Args:
        plan: what the request says now.
        runs_dir: where records are kept.
        which: a run id (the record's or MLflow's), or "newest": the newest of this config file that can go on.
        tell: is given a line for each change that is taken over, and for each record that is damaged and left out.

    Raises:
        NotFoundError: where there is none.
        UsageError: where it has ended or is running.
        ChangedError: where what it was started with has changed, naming each thing.
    """
    record = find(which, runs_dir) if which != NEWEST else _newest(plan, runs_dir, tell)
    changed = changes(record.request, plan.request.resolved())
    if not _goes_on(record, changed):
        raise _ended(record)
    refused = [*_of_this_version(record), *(str(one) for one in changed if not one.is_free), *_of_files(record, plan)]
    if refused:
        raise ChangedError(record.run_id, refused)
    if changed:
        _take_over(record, plan, changed)
        for one in changed:
            tell(f"{one}{_stays(record, one)}")
    return record


def _goes_on(record: Record, changed: list[Change]) -> bool:
    """Whether there is something left to do: a run at its budget goes on where a cap has been raised."""
    state = record.state
    return state in UNFINISHED or (state == "budget_reached" and raises_a_cap(changed))


def _ended(record: Record) -> UsageError:
    state = record.state
    if state == "budget_reached":
        caps = [f"constraints.{name}" for name in CAPS if (record.request.get("constraints") or {}).get(name)]
        return UsageError(f"{record.run_id} has reached its budget; raise {' or '.join(caps)} to go on with it")
    return UsageError(f"{record.run_id} is {state}; there is nothing to resume")


def _newest(plan: Plan, runs_dir: Path, tell: Callable[[str], None]) -> Record:
    source = plan.request.source

    def fits(record: Record) -> bool:
        if record.info.config != (str(source) if source else None):
            return False
        return _goes_on(record, changes(record.request, plan.request.resolved()))

    for record, wanted in read_each(fits, runs_dir, tell):
        if wanted:
            return record
    raise NotFoundError(f"no unfinished run of {source or 'this request'} under {runs_dir}")


def _take_over(record: Record, plan: Plan, changed: list[Change]) -> None:
    """Keep the request as it is now; what was before stays in the record's list of changes."""
    before = record.info
    noted = {one.key: {"was": one.was, "is": one.now} for one in changed}
    record.write("request.json", plan.request.resolved())
    write_inputs(record, plan)
    record.update_info(
        tags=_tags(plan, before.git_commit),
        params={**before.params, **_arguments(plan)},
        changes=[*before.changes, RequestChange(at=now(), keys=noted)],
    )


def _stays(record: Record, change: Change) -> str:
    """An MLflow run cannot move to another experiment."""
    experiment = record.tracking.experiment
    moves = change.key == "tracking.experiment_name" and experiment is not None
    return f"; this run stays in the experiment {experiment}, where it began" if moves else ""


def _of_this_version(record: Record) -> Iterator[str]:
    if record.info.format != FORMAT:
        yield f"the record has format {record.info.format}, this version of dspytrack resumes format {FORMAT}"


def _of_files(record: Record, plan: Plan) -> Iterator[str]:
    """What differs from the start of the run besides the request, in words."""
    info = record.info
    if info.fingerprint.data != plan.splits.fingerprint:
        yield "the data has changed"
    for name, checksum in sorted(info.fingerprint.sources.items()):
        path = plan.request.base_dir / name
        if not path.is_file() or sha256_of(path) != checksum:
            yield f"{name} has changed"
    versions = versions_and_commit(plan.request.base_dir)["versions"]
    for name, version in info.versions.items():
        if name in ("dspy", "python") and versions[name] != version:
            yield f"{name} was {version}, is {versions[name]}"


def _sources(base_dir: Path) -> dict[str, str]:
    """Checksums of the user's own modules: those imported from the config file's folder."""
    folder = base_dir.resolve()
    found = {}
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] == "dspytrack":
            continue
        path = Path(getattr(module, "__file__", None) or "/")
        if path.is_relative_to(folder) and "site-packages" not in path.parts and path.suffix == ".py":
            found[str(path.relative_to(folder))] = sha256_of(path)
    return found
