"""The quick start with the embedded LM, for real, on a part of its data; read back with plain MLflow."""

from __future__ import annotations

import json
import shutil
from math import comb
from pathlib import Path

import mlflow
import pytest

from dspytrack.config.loader import load_request
from dspytrack.pipeline import OptimizationPipeline
from dspytrack.results.catalogue import METRIC_NAMES
from dspytrack.tracking import MLflowConfig

EXAMPLE = Path(__file__).parents[2] / "examples/quickstart"
TAGS = {
    "status",
    "target_type",
    "target_id",
    "target_scope",
    "algorithms",
    "verdict",
    "dataset_fingerprint",
    "git_commit",
}


@pytest.mark.local_lm
def test_the_embedded_lm_runs_the_quick_start_and_every_number_can_be_recomputed(tmp_path: Path) -> None:
    shutil.copy(EXAMPLE / "config.yaml", tmp_path)
    lines = (EXAMPLE / "data.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "data.jsonl").write_text("".join(lines[:80]))
    settings = ["optimizer={name: labeled_few_shot, params: {k: 8}}"]
    config = MLflowConfig(tracking_uri=f"sqlite:///{tmp_path}/m.db", artifact_location=str(tmp_path / "artifacts"))
    pipeline = OptimizationPipeline(config, runs_dir=tmp_path / "runs")
    result = pipeline.run(load_request(tmp_path / "config.yaml", settings))
    assert result.tracking_error is None

    client = mlflow.MlflowClient(config.tracking_uri)
    run = client.get_run(result.run_id)
    metrics = run.data.metrics
    assert set(METRIC_NAMES) <= set(metrics)
    assert set(run.data.tags) >= TAGS
    assert run.data.params["lm.model"] == "local"
    assert metrics["baseline_avg_cost"] == 0
    assert metrics["baseline_failed_calls"] == 0

    table = json.loads(
        Path(
            mlflow.artifacts.download_artifacts(  # type: ignore[attr-defined]
                run_id=result.run_id, artifact_path="evaluation.json", tracking_uri=config.tracking_uri
            )
        ).read_text()
    )
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    before, after = [r["baseline_score"] for r in rows], [r["optimized_score"] for r in rows]
    gained = sum(b > a for a, b in zip(before, after, strict=True))
    lost = sum(b < a for a, b in zip(before, after, strict=True))
    tail = sum(comb(gained + lost, i) for i in range(min(gained, lost) + 1)) / 2 ** (gained + lost)
    assert metrics["statistical_significance"] == pytest.approx(min(1.0, 2 * tail), abs=1e-9)
    old, new = sum(before) / len(before), sum(after) / len(after)
    assert metrics["improvement_percentage"] == pytest.approx((new - old) / old if old else new, abs=1e-9)
    assert metrics["quality_improvement"] == pytest.approx(new - old, abs=1e-9)
    latency = sum(r["baseline_latency_ms"] for r in rows) / len(rows)
    assert metrics["baseline_avg_latency_ms"] == pytest.approx(latency, abs=1e-9)
    kept = {r["example_id"] for r in rows}
    learned = {
        item["example_id"] for item in json.loads((Path(result.record) / "artifacts/training_data.json").read_text())
    }
    assert kept and learned and not kept & learned
