"""LM calls that the run's own LMs do not see, or its cache does not: counted and capped where DSPy executes a call.

A program may open an LM by itself, tell it not to cache, or have a class of its own for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dspy.clients import execution

from dspytrack.optimization.metered.budget import Meter
from dspytrack.optimization.metered.calls import OWN, Call, count_failure, current_call, is_fatal
from dspytrack.optimization.metered.responses import InFlight, RunCache, landing, under_way


@contextmanager
def counted(cache: RunCache, meter: Meter) -> Iterator[None]:
    """Admit and bill every call inside: those of LMs that are not the run's, and those that go past the cache."""
    execute, aexecute = execution.execute, execution.aexecute

    def sync(lm: Any, prepared: Any) -> Any:
        with _of_the_run_or_own(lm, meter, waits=True) as call:
            if prepared.cache:
                return execute(lm, prepared)
            with cache.passing_by(call) as told:
                result = execute(lm, prepared)
                told(result.usage, result.cost)
                return result

    async def awaited(lm: Any, prepared: Any) -> Any:
        while True:
            with _of_the_run_or_own(lm, meter, waits=False) as call:
                if not prepared.cache:
                    with cache.passing_by(call) as told:
                        result = await aexecute(lm, prepared)
                        told(result.usage, result.cost)
                        return result
                try:
                    return await aexecute(lm, prepared)
                except InFlight as other:
                    if call.role != OWN:
                        raise  # the run's own LMs wait by themselves
                    landed = other.landed
            await landing(landed)

    execution.execute, execution.aexecute = sync, awaited
    try:
        yield
    finally:
        execution.execute, execution.aexecute = execute, aexecute


@contextmanager
def _of_the_run_or_own(lm: Any, meter: Meter, waits: bool) -> Iterator[Call]:
    """The call as the run's LM has begun it, or a new one of the role "own", whose failure is counted here."""
    begun = current_call.get()
    if begun is not None:
        yield begun
        return
    place = str((getattr(lm, "kwargs", None) or {}).get("api_base") or "")
    with under_way(Call(OWN, meter, None, False, place, waits)) as call:
        try:
            yield call
        except InFlight:
            raise
        except Exception as error:
            meter.failed(OWN, error, is_fatal(error))
            count_failure()
            raise
