"""What a topic of the bench hands back, the facts about the machine it ran on, and both as Markdown."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Section:
    """One topic: its Markdown, and what must not be (each a sentence; any makes the bench fail)."""

    title: str
    lines: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def say(self, *paragraphs: str) -> None:
        """Add paragraphs."""
        for one in paragraphs:
            self.lines += [one, ""]

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Add a table."""
        self.lines += ["| " + " | ".join(row) + " |" for row in (headers, ["---"] * len(headers), *rows)] + [""]

    def markdown(self) -> str:
        """The topic as Markdown."""
        return "\n".join([f"## {self.title}", "", *self.lines])


@dataclass(frozen=True)
class Sample:
    """Several measurements of one thing, in one unit."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    def shown(self, digits: int = 2) -> str:
        """The median, with the least and the greatest."""
        return f"{self.median:.{digits}f} ({min(self.values):.{digits}f} to {max(self.values):.{digits}f})"


def aim(text: str, met: bool) -> str:
    """A line that says whether an aim was met."""
    return f"Aim: {text}: **{'met' if met else 'missed'}**."


def machine() -> list[str]:
    """What the figures depend on, in lines of Markdown."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("dspy", "mlflow", "litellm"))
    return [
        f"- {os.cpu_count()} cores ({platform.machine()}), {memory:.0f} GiB, {platform.system()}",
        f"- Python {platform.python_version()}, {versions}",
    ]


def load_average() -> float:
    """Runnable processes over the last minute: above a fraction of one, others were at work too."""
    return os.getloadavg()[0]
