"""A good config and data for tests that spoil them, and what is said of the result."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dspytrack.config.loader import load_request, located
from dspytrack.errors import ConfigError
from dspytrack.runs.plan import make_plan

CONFIG = """\
target: {id: mood}
program:
  signature: "text -> label"
  instructions: Name the mood.
dataset:
  path: data.jsonl
  inputs: [text]
metric: {name: exact_match, field: label}
lm: {model: openai/gpt-4o-mini}
optimizer:
  name: labeled_few_shot
  params: {k: 2}
"""
ROWS = [{"text": f"thing {i}", "label": ("up", "down")[i % 2]} for i in range(20)]
SIGNATURE = 'signature: "text -> label"\n  instructions: Name the mood.'


def write(folder: Path) -> Path:
    """The good config and data in a folder; OPENAI_API_KEY must be set for a plan of them."""
    (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (folder / "config.yaml").write_text(CONFIG)
    return folder


def fault(folder: Path, *settings: str) -> ConfigError:
    """What is said of the config in a folder."""
    path = folder / "config.yaml"
    with pytest.raises(ConfigError) as caught, located(path):
        make_plan(load_request(path, settings))
    return caught.value


def edited(folder: Path, old: str, new: str) -> Path:
    """The config with one change."""
    assert old in CONFIG
    (folder / "config.yaml").write_text(CONFIG.replace(old, new))
    return folder
