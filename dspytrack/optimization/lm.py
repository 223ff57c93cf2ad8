"""Task, teacher, prompt and reflection LMs: each call metered by role, each response kept on disk once.

Owns the building of LMs and the run's response cache. How many calls may be made is `budget.py`'s.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dspy
from dspy.clients.cache import Cache
from dspy.utils.exceptions import LMAuthError, LMBillingError, LMNotConfiguredError

from dspytrack.errors import ConfigError, RunStop
from dspytrack.optimization.budget import Meter, Tally
from dspytrack.request import LM, Price

_FATAL = (LMAuthError, LMBillingError, LMNotConfiguredError)


@dataclass
class _Call:
    """One LM call on its way: who asks, and whether a billed request is under way."""

    role: str
    meter: Meter
    price: Price | None
    free: bool
    open: bool = False
    keys: list[str] = field(default_factory=list)


_call: ContextVar[_Call | None] = ContextVar("dspytrack_call", default=None)
_tally: ContextVar[Tally | None] = ContextVar("dspytrack_tally", default=None)
_namespace: ContextVar[str] = ContextVar("dspytrack_namespace", default="")


@contextmanager
def tallied(namespace: str = "") -> Iterator[Tally]:
    """Count the calls made inside; a namespace keeps them apart from all other responses of the run."""
    tally = Tally()
    tokens = _tally.set(tally), _namespace.set(namespace)
    try:
        yield tally
    finally:
        _tally.reset(tokens[0])
        _namespace.reset(tokens[1])


class RunCache(Cache):  # type: ignore[misc]
    """The run's own responses: on disk before they are used, each request in flight asked once."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            enable_disk_cache=True,
            enable_memory_cache=True,
            disk_cache_dir=str(folder),
            disk_size_limit_bytes=1 << 40,
            memory_max_entries=100_000,
        )
        self._flights: dict[str, threading.Event] = {}
        self._flights_lock = threading.Lock()  # protects the table of requests in flight

    def cache_key(self, request: dict[str, Any], ignored_args_for_cache_key: list[str] | None = None) -> str:
        """The request's hash within the current namespace."""
        return _namespace.get() + str(super().cache_key(request, ignored_args_for_cache_key))

    def get(self, request: dict[str, Any], ignored_args_for_cache_key: list[str] | None = None) -> Any:
        """A response the run has, waiting for one in flight; on a miss the call is admitted or the run ends."""
        call = _call.get()
        if call is None:
            return super().get(request, ignored_args_for_cache_key)
        key = self.cache_key(request, ignored_args_for_cache_key)
        while True:
            found = super().get(request, ignored_args_for_cache_key)
            if found is not None:
                call.meter.cached(call.role)
                tally = _tally.get()
                if tally is not None:
                    tally.cached += 1
                return found
            flight = self._take_off(key, call)
            if flight is None:
                call.meter.admit()
                call.open = True
                return None
            flight.wait()

    def _take_off(self, key: str, call: _Call) -> threading.Event | None:
        """None where this call is the one to ask, else the event to wait for."""
        with self._flights_lock:
            flight = self._flights.get(key)
            if flight is not None and not _in_event_loop():
                return flight
            if flight is None:
                self._flights[key] = threading.Event()
                call.keys.append(key)
            return None

    def land(self, call: _Call) -> None:
        """Let those who wait for this call's requests go on."""
        with self._flights_lock:
            for key in call.keys:
                self._flights.pop(key).set()
            call.keys.clear()

    def put(
        self,
        request: dict[str, Any],
        value: Any,
        ignored_args_for_cache_key: list[str] | None = None,
        enable_memory_cache: bool = True,
    ) -> None:
        """Keep a response, then count it as billed."""
        super().put(request, value, ignored_args_for_cache_key, enable_memory_cache)
        call = _call.get()
        if call is None or not call.open:
            return
        call.open = False
        prompt, completion, cost = _bill(value, call)
        call.meter.billed(call.role, prompt, completion, cost)
        tally = _tally.get()
        if tally is not None:
            tally.add(prompt, completion, cost)


@contextmanager
def response_cache(folder: Path) -> Iterator[None]:
    """Let every DSPy call inside find and keep its responses in a run's own folder."""
    before = dspy.cache
    cache = RunCache(folder)
    dspy.cache = cache
    try:
        yield
    finally:
        dspy.cache = before
        cache.disk_cache.close()


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _bill(value: Any, call: _Call) -> tuple[int, int, float | None]:
    """Prompt tokens, completion tokens and USD (None where unknown) of a response."""
    if isinstance(value, dict):
        usage, cost = value.get("usage") or {}, value.get("cost")
    else:
        usage = dict(getattr(value, "usage", None) or {})
        cost = (getattr(value, "_hidden_params", None) or {}).get("response_cost")
    prompt, completion = int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
    if call.free:
        return prompt, completion, 0.0
    if call.price is not None:
        known = "prompt_tokens" in usage and "completion_tokens" in usage
        price = call.price
        spent = (prompt * price.input_per_million + completion * price.output_per_million) / 1e6
        return prompt, completion, spent if known else None
    return prompt, completion, None if cost is None else float(cost)


class MeteredLM(dspy.LM):  # type: ignore[misc]
    """A dspy.LM whose calls are admitted, counted by role and answered from the run's cache where they can be."""

    role: str = "task"
    meter: Meter
    price: Price | None = None
    embedded: bool = False

    @property
    def supports_response_schema(self) -> bool:
        """The embedded LM's answers are bound by a grammar."""
        return True if self.embedded else bool(super().supports_response_schema)

    @property
    def supported_params(self) -> set[str]:
        """The embedded LM takes a response format, which DSPy's catalogue cannot know."""
        known: set[str] = super().supported_params
        return known | {"response_format"} if self.embedded else known

    def __call__(self, prompt: Any = None, **kwargs: Any) -> Any:
        call = self._begin()
        token = _call.set(call)
        try:
            return super().__call__(prompt, **kwargs)
        except Exception as error:
            self._failed(call, error)
            raise
        finally:
            self._end(call)
            _call.reset(token)

    async def acall(self, prompt: Any = None, **kwargs: Any) -> Any:
        """As `__call__`, awaited."""
        call = self._begin()
        token = _call.set(call)
        try:
            return await super().acall(prompt, **kwargs)
        except Exception as error:
            self._failed(call, error)
            raise
        finally:
            self._end(call)
            _call.reset(token)

    def _begin(self) -> _Call:
        stopped = self.meter.stopped
        if stopped is not None:
            raise RunStop(stopped.reason, str(stopped))
        return _Call(self.role, self.meter, self.price, self.embedded)

    def _failed(self, call: _Call, error: Exception) -> None:
        if call.open:
            call.open = False
            self.meter.failed(self.role, error, isinstance(error, _FATAL))
            tally = _tally.get()
            if tally is not None:
                tally.failed += 1

    def _end(self, call: _Call) -> None:
        if call.open:
            self.meter.abandoned()
        if isinstance(dspy.cache, RunCache):
            dspy.cache.land(call)

    def as_role(self, role: str) -> MeteredLM:
        """The same LM, counted as another role."""
        copy: MeteredLM = self.copy()
        copy.role = role
        return copy


def build_lm(spec: LM, *, role: str = "task", meter: Meter | None = None, key: str = "lm") -> MeteredLM:
    """The LM that a request names, its key taken from the environment.

    Raises:
        ConfigError: where no provider knows the model, or its key is not set.
    """
    options: dict[str, Any] = {"timeout": spec.timeout, "num_retries": spec.num_retries, **spec.options}
    model = spec.model
    if model == "local":
        from dspytrack.optimization.local_lm import start

        server = start(spec.path)
        model = "openai/local"
        options |= {"api_base": server.api_base, "api_key": "local"}
        options.setdefault("temperature", 0.0)
    if spec.api_base is not None:
        options["api_base"] = spec.api_base
    if spec.temperature is not None:
        options["temperature"] = spec.temperature
    if spec.max_tokens is not None:
        options["max_tokens"] = spec.max_tokens
    if spec.model != "local":
        options |= _credentials(spec, key)
    try:
        lm = MeteredLM(model, **options)
    except (ValueError, TypeError, dspy.utils.exceptions.LMError) as error:
        raise ConfigError(str(error), key=f"{key}.model") from error
    lm.role, lm.meter, lm.price, lm.embedded = role, meter or Meter(), spec.price, spec.model == "local"
    return lm


def _credentials(spec: LM, key: str) -> dict[str, Any]:
    """The API key, looked up; an unknown provider or an unset variable is found before anything is spent."""
    import litellm

    try:
        litellm.get_llm_provider(spec.model)
    except litellm.BadRequestError as error:
        raise ConfigError(
            f"no provider knows `{spec.model}`; expected provider/model, such as openai/gpt-4.1-mini",
            key=f"{key}.model",
        ) from error
    if spec.api_key_env is not None:
        secret = os.environ.get(spec.api_key_env)
        if not secret:
            raise ConfigError(f"the environment variable {spec.api_key_env} is not set", key=f"{key}.api_key_env")
        return {"api_key": secret}
    missing = litellm.validate_environment(spec.model).get("missing_keys") or []
    if missing:
        raise ConfigError(f"set {' and '.join(missing)} in the environment to use `{spec.model}`", key=f"{key}.model")
    return {}


def adapter_for(spec: LM) -> dspy.Adapter | None:
    """The embedded LM answers in grammar-bound JSON; any other LM uses DSPy's default adapter."""
    return dspy.JSONAdapter() if spec.model == "local" else None
