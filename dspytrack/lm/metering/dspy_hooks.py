"""What a run puts around DSPy while it lasts: its responses, its count of every LM call, its memory of prices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dspy

from dspytrack.lm.metering.cache import RunCache
from dspytrack.lm.metering.meter import Meter
from dspytrack.lm.metering.passing_calls import counted
from dspytrack.lm.metering.prices import remembered_prices
from dspytrack.lm.metering.response_log import ResponseFile


@contextmanager
def metering(path: Path, meter: Meter) -> Iterator[RunCache]:
    """Meter every LM call inside, and let DSPy find and keep its responses in a run's own file.

    Args:
        path: of the file; made where it is not there.
        meter: what calls of LMs that the run did not build are counted and capped by.
    """
    before = dspy.cache
    file = ResponseFile(path)
    cache = RunCache(file, meter)
    dspy.cache = cache
    try:
        with counted(cache, meter), remembered_prices():
            yield cache
    finally:
        dspy.cache = before
        file.close()
