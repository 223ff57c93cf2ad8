"""LM calls that neither the run's LMs nor its cache see: counted and capped where DSPy executes a call.

An LM that a program opens by itself may be told not to cache, or be of a class of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dspy.clients import execution

from dspytrack.optimization.budget import Meter
from dspytrack.optimization.calls import OWN, count_failure, current_call, is_fatal
from dspytrack.optimization.responses import RunCache


@contextmanager
def counted(cache: RunCache, meter: Meter) -> Iterator[None]:
    """Admit and bill the calls inside that go past the cache, and count the failures of LMs that are not the run's."""
    execute, aexecute = execution.execute, execution.aexecute

    def sync(lm: Any, call: Any) -> Any:
        with _failures(meter):
            if call.cache:
                return execute(lm, call)
            with cache.passing_by(waits=True) as told:
                result = execute(lm, call)
                told(result.usage, result.cost)
                return result

    async def awaited(lm: Any, call: Any) -> Any:
        with _failures(meter):
            if call.cache:
                return await aexecute(lm, call)
            with cache.passing_by(waits=False) as told:
                result = await aexecute(lm, call)
                told(result.usage, result.cost)
                return result

    execution.execute, execution.aexecute = sync, awaited
    try:
        yield
    finally:
        execution.execute, execution.aexecute = execute, aexecute


@contextmanager
def _failures(meter: Meter) -> Iterator[None]:
    """Count a call that failed, where no LM of the run does so itself."""
    try:
        yield
    except Exception as error:
        if current_call.get() is None:
            meter.failed(OWN, error, is_fatal(error))
            count_failure()
        raise
