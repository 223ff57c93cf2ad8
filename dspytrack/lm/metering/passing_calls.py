"""LM calls that the run's own LMs do not see, or its cache does not: counted and capped where DSPy executes a call.

A program may open an LM by itself, tell it not to cache, or have a class of its own for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from dspy.clients import execution
from dspy.clients.call_result import combine

from dspytrack.lm.metering.cache import InFlight, RunCache, landing, under_way
from dspytrack.lm.metering.calls import OWN, Call, count_failure, current_call, is_fatal
from dspytrack.lm.metering.meter import Meter


@contextmanager
def counted(cache: RunCache, meter: Meter) -> Iterator[None]:
    """Admit and bill every call inside: those of LMs that are not the run's, and those that go past the cache."""
    execute, aexecute = execution.execute, execution.aexecute

    def sync(lm: Any, prepared: Any) -> Any:
        with _of_the_run_or_own(lm, meter, waits=True) as call:
            found = []
            for one in _requests(lm, prepared, asynchronous=False):
                if one.cache:
                    found.append(execute(lm, one))
                    continue
                with cache.passing_by(call, one.legacy) as told:
                    found.append(execute(lm, one))
                    told(found[-1].usage, found[-1].cost)
            return _together(lm, found)

    async def once(lm: Any, prepared: Any) -> Any:
        with _of_the_run_or_own(lm, meter, waits=False) as call:
            found = []
            for one in _requests(lm, prepared, asynchronous=True):
                if one.cache:
                    found.append(await aexecute(lm, one))
                    continue
                with cache.passing_by(call, one.legacy) as told:
                    found.append(await aexecute(lm, one))
                    told(found[-1].usage, found[-1].cost)
            return _together(lm, found)

    async def awaited(lm: Any, prepared: Any) -> Any:
        while True:
            try:
                return await once(lm, prepared)
            except InFlight as other:
                if current_call.get() is not None:
                    raise  # the run's own LMs wait by themselves
                landed = other.landed
            await landing(landed)

    execution.execute, execution.aexecute = sync, awaited
    try:
        yield
    finally:
        execution.execute, execution.aexecute = execute, aexecute


def _requests(lm: Any, prepared: Any, asynchronous: bool) -> list[Any]:
    """The call as one for each request that DSPy will send: where several answers are asked for, mostly one each.

    So each is admitted, kept and billed by itself.
    """
    if prepared.n == 1 or execution._engine(lm, prepared, asynchronous)[1] is None:  # LiteLLM sends one for all
        return [prepared]
    asked = prepared.legacy
    return [
        replace(prepared, n=1, legacy=asked | {"rollout_id": f"{asked.get('rollout_id')}, answer {number}"})
        for number in range(prepared.n)
    ]


def _together(lm: Any, results: list[Any]) -> Any:
    return results[0] if len(results) == 1 else combine(results, model_type=lm.model_type)


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
