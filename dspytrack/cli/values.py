"""How a metric's value is printed, by its name (fractions as %, USD, ms, seconds), and what several commands advise."""

from __future__ import annotations

import re
import shlex


def format_value(name: str, value: float | None) -> str:
    """A value with its unit; empty where it is unknown."""
    if value is None:
        return ""
    if re.search(r"latency.*_ms$|latency_reduction", name):
        return f"{value:.0f} ms"
    if re.search(r"cost", name):
        return f"{'-' if value < 0 else ''}${abs(value):.6f}"
    if name.endswith("seconds"):
        return f"{value:.1f} s"
    if re.search(r"success_rate|improvement_percentage", name):
        return f"{value:.1%}"
    if name == "statistical_significance":
        return f"{value:.2g}"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.4g}"


def predict_command(folder: str) -> str:
    """What runs the program in a folder."""
    return f"dspytrack model predict {shlex.quote(folder)} --input rows.jsonl"
