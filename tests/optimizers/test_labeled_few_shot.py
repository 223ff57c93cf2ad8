"""LabeledFewShot asks nothing."""

from __future__ import annotations

from pathlib import Path

from dspytrack.optimizers.protocol import Range, SearchCalls
from tests.support.counted_searches import counted_search


def test_it_makes_no_call(tmp_path: Path) -> None:
    search = counted_search(tmp_path, "labeled_few_shot", {"k": 4})
    assert search.estimated == SearchCalls(Range(0, 0))
    assert (search.program, search.own, search.roles) == (0, 0, set())
