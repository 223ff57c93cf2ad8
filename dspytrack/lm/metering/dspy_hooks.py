"""All that touches DSPy's inner parts: where an LM call or an embedding passes, what it reports, what it is priced.

Read on DSPy 3.4.0 and 3.4.1. What is replaced, and since which version it is there:

- `dspy.clients.execution.execute` and `aexecute`: every LM call passes one of them, whoever built the LM (3.4.0).
- `dspy.clients.embedding._get_litellm`: what a hosted embedder sends its requests with (3.3).
- `dspy.clients.costs.model_info`, while a run lasts: looked up twice for every response in a table of some 2,500
  models; remembered here (3.4.0).
- `dspy.cache`, while a run lasts: a cache that holds nothing, so that no other run's responses are taken for its own.

The first three functions stay in place after a run: outside of one they hand every call on, but for the calls of work
that an ended run abandoned, which are refused. `canary.py` proves before each run that no call leads past them.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dspy
from dspy.clients import costs, embedding, execution
from dspy.clients.cache import Cache
from dspy.clients.call_result import CallResult, combine

from dspytrack.errors import RunStop
from dspytrack.lm.metering.cache import ResponseCache, response_key
from dspytrack.lm.metering.calls import CallMeter
from dspytrack.lm.metering.meter import Meter
from dspytrack.lm.metering.requests import Request, Use, reported
from dspytrack.lm.metering.response_log import ResponseLog
from dspytrack.lm.metering.scope import Label, current_scope, is_labelled, is_scoped, label_of
from dspytrack.lm.metering.threads import inherited_context

_ALTERS_NO_RESPONSE = [*execution.IGNORED_CACHE_KEYS, "timeout"]
_EMPTY = Cache(enable_disk_cache=False, enable_memory_cache=False, disk_cache_dir=None)


_active: CallMeter | None = None
"""What meters the calls of this process: one run at a time."""


@contextmanager
def metering(path: Path, meter: Meter) -> Iterator[ResponseCache]:
    """Meter every LM call and every hosted embedding inside.

    Args:
        path: of the run's response log; made where it is not there.
        meter: holds the caps and counts.
    """
    _install()
    log = ResponseLog(path)
    cache = ResponseCache(log)
    with ExitStack() as stack:
        stack.callback(log.close)
        stack.enter_context(inherited_context())
        stack.enter_context(replaced(dspy, "cache", _EMPTY))
        stack.enter_context(replaced(costs, "model_info", lru_cache(maxsize=256)(costs.model_info)))
        stack.enter_context(replaced(sys.modules[__name__], "_active", CallMeter(meter, cache)))
        yield cache


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Exchange an attribute for as long as the block lasts."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def _install() -> None:
    """Put the metered functions in the place of DSPy's own, where they are not there yet."""
    hooks: list[tuple[Any, str, Callable[[Any], Any]]] = [
        (execution, "execute", _metered_execute),
        (execution, "aexecute", _metered_aexecute),
        (embedding, "_get_litellm", _metered_litellm),
    ]
    for owner, name, metered in hooks:
        found = getattr(owner, name)
        if found.__module__ != __name__:
            hook = metered(found)
            hook.__wrapped__ = found
            setattr(owner, name, hook)


def _meter_of(lm: Any) -> CallMeter | None:
    """What meters a call; None for one that is no run's business.

    Raises:
        RunStop: where an ended run abandoned the work that makes the call.
    """
    if _active is None and (is_labelled(lm) or is_scoped()):
        raise RunStop("over", "the run that this call belongs to has ended")
    return _active


def _metered_execute(execute: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def metered(lm: Any, prepared: Any) -> Any:
        calls = _meter_of(lm)
        if calls is None:
            return execute(lm, prepared)
        asked, retries = _without_retries(lm, prepared)
        found = []
        for one in _requests(lm, prepared, asynchronous=False):
            bare = replace(one, cache=False)
            request = _request(lm, one, retries, asynchronous=False)
            found.append(calls.run(request, lambda bare=bare: execute(asked, bare)))  # type: ignore[misc]
        return found[0] if len(found) == 1 else combine(found, model_type=lm.model_type)

    return metered


def _metered_aexecute(aexecute: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    async def metered(lm: Any, prepared: Any) -> Any:
        calls = _meter_of(lm)
        if calls is None:
            return await aexecute(lm, prepared)
        asked, retries = _without_retries(lm, prepared)
        found = []
        for one in _requests(lm, prepared, asynchronous=True):
            bare = replace(one, cache=False)
            request = _request(lm, one, retries, asynchronous=True)
            found.append(await calls.arun(request, lambda bare=bare: aexecute(asked, bare)))  # type: ignore[misc]
        return found[0] if len(found) == 1 else combine(found, model_type=lm.model_type)

    return metered


def _metered_litellm(get_litellm: Callable[[], Any]) -> Callable[[], Any]:
    def metered() -> Any:
        calls = _meter_of(None)
        return get_litellm() if calls is None else _MeteredLiteLLM(get_litellm(), calls)

    return metered


def _without_retries(lm: Any, prepared: Any) -> tuple[Any, int]:
    """An LM that tries once, and how often the meter tries again.

    A response that is streamed is not tried again here: what was shown cannot be taken back.
    """
    if not prepared.managed or not lm.num_retries or dspy.settings.send_stream is not None:
        return lm, 0
    bare = copy.copy(lm)
    bare.num_retries = 0
    return bare, lm.num_retries


def _requests(lm: Any, prepared: Any, *, asynchronous: bool) -> list[Any]:
    """A call as one for each request that DSPy will send: where several answers are asked for, mostly one each.

    So each is admitted, kept and billed by itself.
    """
    if prepared.n == 1 or execution._engine(lm, prepared, asynchronous)[1] is None:  # LiteLLM sends one for all
        return [prepared]
    asked = prepared.legacy
    return [
        replace(prepared, n=1, legacy=asked | {"rollout_id": f"{asked.get('rollout_id')}, answer {number}"})
        for number in range(prepared.n)
    ]


def _request(lm: Any, prepared: Any, retries: int, *, asynchronous: bool) -> Request:
    label, key = label_of(lm), None
    if prepared.cache:
        request_hash = _EMPTY.cache_key(prepared.key(lm, asynchronous), _ALTERS_NO_RESPONSE)
        key = response_key(request_hash, current_scope().namespace, label.server)
    return Request(
        label=label,
        key=key,
        chars=_chars(prepared.legacy.get("messages") or ()) if prepared.request is None else len(str(prepared.request)),
        retries=retries,
        use=lambda result: reported(result.usage, result.cost),
        dump=lambda result: result.dump(),
        load=CallResult.load,
    )


def _chars(messages: Any) -> int:
    """The length of messages' text; what is no text (an image) counts for nothing."""
    return sum(_text_chars(message) for message in messages)


def _text_chars(message: Any) -> int:
    content = message.get("content") or "" if isinstance(message, dict) else ""
    if isinstance(content, str):
        return len(content)
    return sum(len(str(part.get("text") or "")) for part in content if isinstance(part, dict))


class _MeteredLiteLLM:
    """LiteLLM as DSPy's embedder uses it, its embeddings metered; everything else is LiteLLM's own."""

    def __init__(self, litellm: Any, calls: CallMeter) -> None:
        self._litellm, self._calls = litellm, calls

    def __getattr__(self, name: str) -> Any:
        return getattr(self._litellm, name)

    def embedding(self, **asked: Any) -> Any:
        return self._calls.run(_embedding_request(asked), lambda: self._litellm.embedding(**asked))

    async def aembedding(self, **asked: Any) -> Any:
        return await self._calls.arun(_embedding_request(asked), lambda: self._litellm.aembedding(**asked))


def _embedding_request(asked: dict[str, Any]) -> Request:
    server = str(asked.get("api_base") or "")
    request_hash = _EMPTY.cache_key({**asked, "_fn_identifier": "embedding"}, [*_ALTERS_NO_RESPONSE, "caching"])
    return Request(
        label=Label(server=server),
        key=response_key(request_hash, current_scope().namespace, server),
        chars=sum(len(text) for text in asked.get("input") or () if isinstance(text, str)),
        retries=0,
        use=_embedding_use,
        dump=lambda response: [list(one["embedding"]) for one in response.data],
        load=lambda vectors: SimpleNamespace(data=[{"embedding": vector} for vector in vectors]),
    )


def _embedding_use(response: Any) -> Use:
    """An embedding has no completion: what is not prompt is 0."""
    usage = dict(getattr(response, "usage", None) or {})
    hidden = getattr(response, "_hidden_params", None) or {}
    return reported({"completion_tokens": 0, **usage}, hidden.get("response_cost"))


@contextmanager
def kept_settings() -> Iterator[None]:
    """Put DSPy's process-wide settings and cache back, after the block, as they were before it.

    Written past `dspy.configure`, which lets only the thread that called it first call it again.
    """
    module: Any = import_module("dspy.dsp.utils.settings")  # its package gives the object of that name
    values, cache = dict(module.main_thread_config), dspy.cache
    owner = module.config_owner_thread_id, module.config_owner_async_task
    try:
        yield
    finally:
        module.main_thread_config.clear()
        module.main_thread_config.update(values)
        module.config_owner_thread_id, module.config_owner_async_task = owner
        dspy.cache = cache


def warm_up(lm: Any) -> None:
    """Import what an LM's first call would import: those seconds are no latency of an example."""
    from dspy.clients.backend_selection import select_backend

    if isinstance(lm, dspy.LM) and isinstance(lm.engine, str) and not select_backend(lm).native:
        import litellm

        _ = litellm.completion  # the import is a lazy one


def knows_price(model: str) -> bool:
    """Whether DSPy's table has the price of a model, `provider/name`."""
    from dspy.clients.model_metadata import model_info

    provider, _, name = model.partition("/")
    return "input_cost_per_token" in model_info(provider, name)
