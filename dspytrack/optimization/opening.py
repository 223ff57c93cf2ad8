"""Opens the record of a run: a new one, or one that was cut off, refused where what it was started with has changed."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from dspytrack.errors import ChangedError, NotFoundError, UsageError
from dspytrack.optimization.artifacts import write_inputs
from dspytrack.optimization.environment import versions_and_commit
from dspytrack.optimization.plan import Plan
from dspytrack.optimization.record import UNFINISHED, Record, all_records, find, now

NEWEST = "newest"
FORMAT = 2
"""Of a record: raised where an older one cannot be gone on with."""


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
    tags = request.tracking.tags | {
        "target_type": request.target.type,
        "target_id": request.target.id,
        "target_scope": request.target.scope,
        "algorithms": ",".join(one.name for one in plan.optimizers),
        "dataset_fingerprint": plan.parts.fingerprint,
        "git_commit": facts["git_commit"] or "unknown",
    }
    parameters = {
        f"optimizer_args.{one.name}.{name}": value for one in plan.optimizers for name, value in one.arguments.items()
    }
    record.write("request.json", request.resolved())
    parts = {n: [item.example_id for item in getattr(plan.parts, n)] for n in ("train", "val", "test")}
    record.write("parts.json", parts)
    write_inputs(record, plan)
    record.note(
        format=FORMAT,
        run_name=f"opt_{request.target.type}_{request.target.id}_{stamp}",
        started_at=now(),
        config=str(request.source) if request.source else None,
        fingerprint={"data": plan.parts.fingerprint, "sources": _sources(request.base_dir)},
        tags=tags,
        params=parameters | {f"stated_baseline_{name}": value for name, value in stated.items()},
        **facts,
    )
    return record


def reopen(plan: Plan, runs_dir: Path, which: str) -> Record:
    """The record of a run to go on with.

    Args:
        plan: what the request says now.
        runs_dir: where records are kept.
        which: a run id (the record's or MLflow's), or "newest": the newest unfinished run of this config file.

    Raises:
        NotFoundError: where there is none.
        UsageError: where it has ended or is running.
        ChangedError: where what it was started with has changed, naming each thing.
    """
    record = find(which, runs_dir) if which != NEWEST else _newest(plan, runs_dir)
    state = record.state
    if state not in UNFINISHED:
        raise UsageError(f"{record.run_id} is {state}; there is nothing to resume")
    changes = list(_changes(record, plan))
    if changes:
        raise ChangedError(record.run_id, changes)
    return record


def _newest(plan: Plan, runs_dir: Path) -> Record:
    source = plan.request.source
    for record in all_records(runs_dir):
        if record.info.get("config") == (str(source) if source else None) and record.state in UNFINISHED:
            return record
    raise NotFoundError(f"no unfinished run of {source or 'this request'} under {runs_dir}")


def _changes(record: Record, plan: Plan) -> Iterator[str]:
    """What differs from the start of the run, in words."""
    if record.info.get("format") != FORMAT:
        yield f"records were of format {record.info.get('format')}, are of format {FORMAT}"
    before, after = dict(_flat(record.request)), dict(_flat(plan.request.resolved()))
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) != after.get(key):
            yield f"{key} was {before.get(key)!r}, is {after.get(key)!r}"
    fingerprint = record.info.get("fingerprint") or {}
    if fingerprint.get("data") != plan.parts.fingerprint:
        yield "the data has changed"
    for name, checksum in sorted((fingerprint.get("sources") or {}).items()):
        path = plan.request.base_dir / name
        if not path.is_file() or _sha256(path) != checksum:
            yield f"{name} has changed"
    versions = versions_and_commit(plan.request.base_dir)["versions"]
    for name, version in (record.info.get("versions") or {}).items():
        if name in ("dspy", "python") and versions[name] != version:
            yield f"{name} was {version}, is {versions[name]}"


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value


def _sources(base_dir: Path) -> dict[str, str]:
    """Checksums of the user's own modules: those imported from the config file's folder."""
    folder = base_dir.resolve()
    found = {}
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] == "dspytrack":
            continue
        path = Path(getattr(module, "__file__", None) or "/")
        if path.is_relative_to(folder) and "site-packages" not in path.parts and path.suffix == ".py":
            found[str(path.relative_to(folder))] = _sha256(path)
    return found


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
