"""What `optimize --dry-run` shows: a table for people, one JSON document for programs."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from dspytrack.cli.render.plans import print_plan
from dspytrack.optimizers.protocol import Optimizer
from dspytrack.runs.estimate import Probe, estimate
from dspytrack.runs.plan import make_plan
from tests.support.requests import request, rows

PROBE = Probe(examples=2, lm_calls=1.0, tokens=100.0, cost_usd=None, seconds=2.0, billed=2)


def shown(folder: Path, probe: Probe | None, as_json: bool = False, **changes: Any) -> str:
    """What is printed of a plan of 40 examples."""
    plan, out = make_plan(request("http://127.0.0.1:9/v1", folder, **changes), rows(40)), io.StringIO()
    print_plan(plan, estimate(plan, probe), probe, as_json, out)
    return out.getvalue()


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-for-loopback")
    monkeypatch.setenv("COLUMNS", "200")


def test_without_a_probe_it_shows_splits_and_lm_calls(tmp_path: Path) -> None:
    text = shown(tmp_path, None, optimizer={"name": "gepa", "params": {"max_metric_calls": 1000}})
    assert text.startswith("examples: 16 train, 8 val, 16 test\n")
    assert "optimization: gepa" in text and "1,000 to 1,344" in text
    assert "tokens" not in text.splitlines()[2]
    assert "Nothing was called. --probe 3 runs three examples" in text


def test_with_a_probe_it_shows_tokens_cost_and_time_and_says_what_is_unknown(tmp_path: Path) -> None:
    [baseline] = [line for line in shown(tmp_path, PROBE).splitlines() if "baseline" in line]
    assert baseline.split() == ["baseline", "16", "1,600", "unknown", "8", "s", "to", "32", "s"]
    assert "From 2 examples of the program as it is (2 billed calls). Expect more" in shown(tmp_path, PROBE)


def test_a_sentence_says_what_differs_where_an_optimizer_is_not_deterministic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "labeled_few_shot:" not in shown(tmp_path, None).replace("optimization: ", "")
    monkeypatch.setattr(Optimizer, "deterministic", "its demos are in no order")
    assert "labeled_few_shot: its demos are in no order" in shown(tmp_path, None)


def test_the_json_document_keeps_its_keys_and_its_ranges_are_pairs(tmp_path: Path) -> None:
    document = json.loads(shown(tmp_path, PROBE, as_json=True, optimizer={"name": "simba", "params": {"bsize": 8}}))
    assert list(document) == ["examples", "fingerprint", "optimizers", "phases", "probe", "warnings"]
    assert document["optimizers"] == [{"name": "simba", "params": {"bsize": 8}, "deterministic": True}]
    assert document["phases"][0] == {
        "phase": "baseline",
        "lm_calls": [16, 16],
        "tokens": [1600, 1600],
        "cost_usd": None,
        "seconds": [8, 32],
    }
    assert document["probe"]["billed"] == 2
