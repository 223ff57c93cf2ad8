"""A call to a fake LM in each way that one can be made, before each run: where one passes unseen, no cap would hold.

DSPy may change how it makes calls with any release. This finds it out while nothing has been spent.
"""

from __future__ import annotations

import asyncio
import tempfile
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dspy
from dspy.clients import embedding
from dspy.lm15 import Message, Response, TextPart, Usage

from dspytrack.errors import UsageError
from dspytrack.lm.metering.dspy_hooks import metering, replaced
from dspytrack.lm.metering.meter import Meter
from dspytrack.lm.metering.scope import Label, labelled

KNOWN = "3.4.1"
"""The newest DSPy whose calls are known to be metered."""
_TEXT = "a call that dspytrack makes to itself"


class _Engine:
    """Answers at once; counts what it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def complete(self, request: Any) -> Response:
        self.asked += 1
        return Response(
            id=None,
            model=request.model,
            message=Message.assistant([TextPart("yes")]),
            finish_reason="stop",
            usage=Usage(input_tokens=1, output_tokens=1, total_tokens=2),
        )


class _AsyncEngine:
    def __init__(self, engine: _Engine) -> None:
        self._engine = engine

    async def complete(self, request: Any) -> Response:
        return self._engine.complete(request)


class _Plugin(dspy.BaseLM):  # type: ignore[misc]
    """An LM of the older kind, with a method of its own that makes the call."""

    def __init__(self, engine: _Engine) -> None:
        super().__init__("canary/plugin")
        self._asks = engine

    def forward(self, prompt: Any = None, messages: Any = None, **kwargs: Any) -> Any:
        self._asks.asked += 1
        message = SimpleNamespace(content="yes")
        choice = SimpleNamespace(message=message, finish_reason="stop")
        return SimpleNamespace(choices=[choice], usage={"prompt_tokens": 1, "completion_tokens": 1}, model=self.model)

    async def aforward(self, prompt: Any = None, messages: Any = None, **kwargs: Any) -> Any:
        return self.forward(prompt, messages, **kwargs)


class _Embeddings:
    """LiteLLM as far as an embedder needs it."""

    cache = None

    def __init__(self, engine: _Engine) -> None:
        self._engine = engine

    def embedding(self, **asked: Any) -> Any:
        self._engine.asked += 1
        return SimpleNamespace(data=[{"embedding": [0.0]} for _ in asked["input"]], usage={"prompt_tokens": 1})

    async def aembedding(self, **asked: Any) -> Any:
        return self.embedding(**asked)


def check_metering() -> None:
    """See that every way of calling an LM passes the meter.

    Raises:
        UsageError: naming the ways that do not, the version of DSPy, and what to install.
    """
    with ThreadPoolExecutor(1) as worker:  # an event loop may run in this thread
        unseen = worker.submit(_unmetered).result()
    if unseen:
        raise UsageError(
            f"DSPy {version('dspy')} makes LM calls that cannot be counted ({', '.join(unseen)}), so no cap would "
            f"hold; install one that can be: pip install 'dspy=={KNOWN}'"
        )


def _unmetered() -> list[str]:
    try:
        return _not_counted_once()
    except (AttributeError, TypeError, ImportError) as error:  # a part that is replaced is not there any more
        return [str(error)]


def _not_counted_once() -> list[str]:
    """The ways whose calls the meter does not see, or does not see once each."""
    engine = _Engine()
    with (
        tempfile.TemporaryDirectory() as folder,
        replaced(embedding, "_get_litellm", lambda: _Embeddings(engine)),
        metering(Path(folder) / "responses.jsonl", meter := Meter()),
        dspy.context(disable_history=True, callbacks=[], send_stream=None, usage_tracker=None),
        _quiet(),
    ):
        unseen = []
        for name, call, expected in _ways(engine):
            before = meter.total.calls, engine.asked
            try:
                call()
            except Exception as error:  # noqa: BLE001 - whatever DSPy raises, this way cannot be vouched for
                unseen.append(f"{name}: {type(error).__name__}")
                continue
            if (meter.total.calls - before[0], engine.asked - before[1]) != (expected, expected):
                unseen.append(name)
        return unseen


def _ways(engine: _Engine) -> Iterator[tuple[str, Callable[[], Any], int]]:
    """Each way with what makes it, and how many calls that is."""
    own = dspy.LM("canary/own", engine=engine, async_engine=_AsyncEngine(engine))
    yield from _ways_of(labelled(own.copy(), Label("task")), "an LM of the run")
    yield from _ways_of(own, "an LM of the program")
    plugin = _Plugin(engine)
    embedder = dspy.Embedder("canary/embedder")
    yield "several answers at once", lambda: own(f"{_TEXT} several", n=2), 2
    yield "forward", lambda: own.forward(f"{_TEXT} forward"), 1
    yield "a BaseLM", lambda: plugin(f"{_TEXT} plugin"), 1
    yield "a BaseLM, async", lambda: asyncio.run(plugin.acall(f"{_TEXT} plugin")), 1
    yield "an embedding", lambda: embedder(f"{_TEXT} embedding"), 1
    yield "an embedding, async", lambda: asyncio.run(embedder.acall(f"{_TEXT} embedding async")), 1


def _ways_of(lm: Any, name: str) -> Iterator[tuple[str, Callable[[], Any], int]]:
    text = f"{_TEXT} {name}"
    yield f"{name}, sync", lambda: lm(f"{text} sync"), 1
    yield f"{name}, async", lambda: asyncio.run(lm.acall(f"{text} async")), 1
    yield f"{name}, not cached", lambda: lm(text, cache=False), 1
    yield f"{name}, async, not cached", lambda: asyncio.run(lm.acall(text, cache=False)), 1


@contextmanager
def _quiet() -> Iterator[None]:
    """DSPy warns of LMs of the older kind; these are not the user's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
