"""Builders of requests and data for whole runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dspytrack.config.schema import OptimizationRequest

GOOD = ("great", "lovely", "quick", "kind", "fresh", "solid")
BAD = ("bad", "awful", "broken", "slow", "rude", "bad and slow")


def rows(count: int) -> list[dict[str, Any]]:
    """Half good, half bad short texts, all different."""
    return [
        {"text": f"The {(GOOD, BAD)[i % 2][i // 2 % 6]} thing number {i}.", "label": ("positive", "negative")[i % 2]}
        for i in range(count)
    ]


def request(api_base: str, base_dir: Path, **changes: Any) -> OptimizationRequest:
    """A small classification run against an LM server."""
    values: dict[str, Any] = {
        "target": {"id": "mood"},
        "program": {"signature": "text -> label", "instructions": "Name the mood."},
        "dataset": {"inputs": ["text"], "stratify": "label"},
        "metric": {"name": "exact_match", "field": "label"},
        "lm": {"model": "openai/gpt-4o-mini", "api_base": api_base, "num_retries": 0, "timeout": 10},
        "optimizer": {"name": "labeled_few_shot", "params": {"k": 4}},
        "evaluation": {"num_threads": 4},
    }
    return OptimizationRequest.model_validate(values | changes).placed(base_dir)
