"""The artifacts of a run as MLflow gets them: its inputs, the evaluation table, the model, and what changed in words.

The record keeps them; the report is written by `reports/`.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from datetime import datetime, timezone
from io import StringIO
from typing import Any

import dspy

from dspytrack.programs.package import NAME, pack
from dspytrack.record.store import Record
from dspytrack.results.values import Comparison, Row
from dspytrack.runs.plan import Plan
from dspytrack.runs.search import Found

COLUMNS = (
    "example_id",
    "inputs",
    "expected",
    "baseline_output",
    "optimized_output",
    "baseline_score",
    "optimized_score",
)
_SIDE = ("prompt_tokens", "completion_tokens", "cost_usd", "latency_ms", "error")


def write_inputs(record: Record, plan: Plan) -> None:
    """Write training_data.json, algorithm_parameters.json and config.yaml (the resolved request)."""
    from ruamel.yaml import YAML

    items = [
        {"example_id": item.example_id, "part": name, **item.fields}
        for name in ("train", "val")
        for item in getattr(plan.splits, name)
    ]
    record.write("artifacts/training_data.json", items)
    parameters = {one.name: one.arguments for one in plan.optimizers}
    record.write("artifacts/algorithm_parameters.json", parameters)
    yaml = YAML()
    yaml.default_flow_style = False
    text = StringIO()
    yaml.dump(plan.request.resolved(), text)
    record.write_text("artifacts/config.yaml", text.getvalue())


def write_evaluation(record: Record, plan: Plan, baseline: list[Row], optimized: list[Row]) -> None:
    """Write evaluation.json in the form of an MLflow table: one row for each test example."""
    after = {row.example_id: row for row in optimized}
    before = {row.example_id: row for row in baseline}
    inputs = set(plan.request.dataset.inputs)
    data = []
    for item in plan.splits.test:
        old, new = before.get(item.example_id), after.get(item.example_id)
        data.append(
            [
                item.example_id,
                _text({k: v for k, v in item.fields.items() if k in inputs}),
                _text({k: v for k, v in item.fields.items() if k not in inputs}),
                _text(old.output if old else None),
                _text(new.output if new else None),
                old.score if old else None,
                new.score if new else None,
                *[getattr(old, name) if old else None for name in _SIDE],
                *[getattr(new, name) if new else None for name in _SIDE],
            ]
        )
    sides = [f"{side}_{name}" for side in ("baseline", "optimized") for name in _SIDE]
    record.write("artifacts/evaluation.json", {"columns": [*COLUMNS, *sides], "data": data})


def write_model(record: Record, plan: Plan, found: Found, comparison: Comparison) -> None:
    """Write models/: the program that was found, and metadata of where it comes from."""
    request = plan.request
    metadata = {
        "run_id": record.run_id,
        "algorithm": found.optimizer,
        "improvement": comparison.improvement_percentage,
        "verdict": comparison.verdict,
        "created_at": datetime.now(timezone.utc).isoformat(),
        "dspytrack": record.info.versions,
    }
    resolved = request.resolved()
    spec = {"program": resolved["program"], "lm": resolved["lm"], "inputs": request.dataset.inputs}
    pack(found.program, record.artifacts / "models", NAME, metadata, spec)


def key_improvements(before: dspy.Module, after: dspy.Module, baseline: list[Row], optimized: list[Row]) -> list[str]:
    """What changed, in words: read from the two programs and the rows."""
    lines = [*_program_changes(before, after)]
    if not lines:
        lines.append("The optimizer changed nothing in the program.")
    old = {row.example_id: row.score for row in baseline if row.score is not None}
    new = {row.example_id: row.score for row in optimized if row.score is not None}
    both = old.keys() & new.keys()
    gained = sorted(one for one in both if new[one] > old[one])
    lost = sorted(one for one in both if new[one] < old[one])
    lines.append(
        f"Of {len(both)} test examples scored on both sides, {len(gained)} scored higher and {len(lost)} lower."
    )
    for word, ids in (("Up", gained), ("Down", lost)):
        if ids:
            shown = ", ".join(f"{one} ({old[one]:g} -> {new[one]:g})" for one in ids[:20])
            lines.append(f"{word}: {shown}{' …' if len(ids) > 20 else ''}")
    return lines


def _program_changes(before: dspy.Module, after: dspy.Module) -> list[str]:
    lines = []
    olds: Mapping[str, Any] = dict(before.named_predictors())
    for name, new in after.named_predictors():
        old = olds.get(name)
        if old is None:
            lines.append(f"{name}: a new predictor.")
            continue
        was, now = old.signature.instructions, new.signature.instructions
        if was != now:
            lines.append(f"{name}: instructions changed.")
            diff = difflib.unified_diff(was.splitlines(), now.splitlines(), "before", "after", lineterm="", n=1)
            lines.extend(f"    {line}" for line in diff)
        if len(old.demos) != len(new.demos) or old.demos != new.demos:
            lines.append(f"{name}: {len(old.demos)} demos before, {len(new.demos)} after.")
            for demo in new.demos:
                fields = demo.toDict() if hasattr(demo, "toDict") else dict(demo)
                lines.append(f"    {_text({k: v for k, v in fields.items() if k != 'augmented'})}")
    return lines


def _text(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, default=str)
