"""Commands that several commands advise at their end."""

from __future__ import annotations

import shlex


def predict_command(folder: str) -> str:
    """What runs the program in a folder."""
    return f"dspytrack model predict {shlex.quote(folder)} --input rows.jsonl"
