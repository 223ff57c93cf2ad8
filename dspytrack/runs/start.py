"""Starts the record of a run: everything known before the first LM call.

How a record is reopened, and with what other request, is `resume.py`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from dspytrack.record.info import FORMAT, Fingerprint
from dspytrack.record.store import Record, now
from dspytrack.runs.artifacts import write_inputs
from dspytrack.runs.environment import git_commit, source_checksums, versions
from dspytrack.runs.plan import Plan


def start_record(plan: Plan, runs_dir: Path, stated: Mapping[str, float]) -> Record:
    """A new record.

    Args:
        plan: what will be run.
        runs_dir: where records are kept.
        stated: baseline metrics that the caller states, by name.

    Raises:
        ConfigError: where the folder cannot be written.
    """
    request, record = plan.request, Record.create(runs_dir)
    stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S")
    commit = git_commit(request.base_dir)
    splits = {n: [item.example_id for item in getattr(plan.splits, n)] for n in ("train", "val", "test")}
    record.write("request.json", request.resolved())
    record.write("splits.json", splits)
    write_inputs(record, plan)
    record.update_info(  # last: with run.json there is a record
        format=FORMAT,
        run_name=f"opt_{request.target.type}_{request.target.id}_{stamp}",
        started_at=now(),
        config=None if request.source is None else str(request.source),
        fingerprint=Fingerprint(data=plan.splits.fingerprint, sources=source_checksums(request.base_dir)),
        versions=versions(),
        git_commit=commit,
        tags=tags_of(plan, commit),
        params=arguments_of(plan) | {f"stated_baseline_{name}": value for name, value in stated.items()},
    )
    return record


def tags_of(plan: Plan, commit: str | None) -> dict[str, str]:
    """The user's tags, and those that every run has from its start."""
    target = plan.request.target
    return plan.request.tracking.tags | {
        "target_type": target.type,
        "target_id": target.id,
        "target_scope": target.scope,
        "algorithms": ",".join(one.name for one in plan.optimizers),
        "dataset_fingerprint": plan.splits.fingerprint,
        "git_commit": commit or "unknown",
    }


def arguments_of(plan: Plan) -> dict[str, Any]:
    """The optimizers' own arguments, as params."""
    return {
        f"optimizer_args.{one.name}.{name}": value for one in plan.optimizers for name, value in one.arguments.items()
    }
