"""Task, teacher, prompt and reflection LMs: each call admitted, metered by role, tried again where that helps.

Owns the building of LMs. How many calls may be made is `budget.py`'s, what was answered `responses.py`'s.
"""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import AbstractContextManager
from typing import Any

import dspy
from dspy.clients.backend_selection import select_backend
from dspy.utils.exceptions import is_retryable_lm_error
from tenacity import AsyncRetrying, RetryCallState, Retrying, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_exponential_jitter

from dspytrack.config.schema import LM, Price
from dspytrack.errors import ConfigError
from dspytrack.lm.credentials import credentials, with_secrets
from dspytrack.lm.metering.cache import InFlight, landing, under_way
from dspytrack.lm.metering.calls import Call, count_failure, is_fatal
from dspytrack.lm.metering.meter import Meter
from dspytrack.lm.options import check_options

# Prices come with the installed packages: a run neither waits for a download nor changes its cost with the day.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

_BACKOFF = wait_exponential_jitter(initial=1, max=30, jitter=1)
LONGEST_WAIT = 60.0  # seconds between two tries, whatever the provider asks for


class MeteredLM(dspy.LM):  # type: ignore[misc]
    """A dspy.LM whose calls are admitted, counted by role and answered from the run's cache where they can be."""

    role: str = "task"
    meter: Meter
    price: Price | None = None
    embedded: bool = False
    place: str = ""
    retries: int = 0

    @property
    def supports_response_schema(self) -> bool:
        """The embedded LM's answers are bound by a grammar."""
        return True if self.embedded else bool(super().supports_response_schema)

    @property
    def supported_params(self) -> set[str]:
        """The embedded LM takes a response format, which DSPy's catalogue cannot know."""
        known: set[str] = super().supported_params
        return known | {"response_format"} if self.embedded else known

    @property
    def price_known(self) -> bool:
        """Whether a call's cost can be told from its tokens."""
        from dspy.clients.model_metadata import model_info

        provider, _, name = self.model.partition("/")
        return self.embedded or self.price is not None or "input_cost_per_token" in model_info(provider, name)

    def warm_up(self) -> None:
        """Import what the first call would import: those seconds are no latency of an example."""
        if not select_backend(self).native:
            import litellm

            _ = litellm.completion  # the import is a lazy one

    def __call__(self, prompt: Any = None, **kwargs: Any) -> Any:
        try:
            return self._once(prompt, kwargs)  # nearly all calls end here: a retry's machinery would take its time
        except Exception as error:
            if not is_retryable_lm_error(error):
                raise
            first = [error]

        def once() -> Any:
            if first:
                raise first.pop()
            return self._once(prompt, kwargs)

        return self._tried(Retrying, self.meter.wait, once)

    async def acall(self, prompt: Any = None, **kwargs: Any) -> Any:
        """As `__call__`, awaited."""

        async def wait(seconds: float) -> None:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                self.meter.check()
                await asyncio.sleep(min(0.2, seconds))

        async def once() -> Any:  # a lambda is not awaited
            return await self._aonce(prompt, kwargs)

        return await self._tried(AsyncRetrying, wait, once)

    def _tried(self, kind: Any, sleep: Any, once: Any) -> Any:
        """Try again where a failure may pass: after what the provider asks for, else backed off with jitter."""
        tries = kind(
            retry=retry_if_exception(lambda error: isinstance(error, Exception) and is_retryable_lm_error(error)),
            stop=stop_after_attempt(self.retries + 1),
            wait=_delay,
            sleep=sleep,
            before_sleep=lambda state: self.meter.retried(self.role),
            retry_error_callback=self._gave_up,
        )
        return tries(once)

    def _gave_up(self, state: RetryCallState) -> Any:
        assert state.outcome is not None
        error = state.outcome.exception()
        if isinstance(error, Exception):
            self._failed(error)
        return state.outcome.result()

    def _once(self, prompt: Any, kwargs: dict[str, Any]) -> Any:
        with self._call() as call:
            try:
                return super().__call__(prompt, **kwargs)
            except Exception as error:
                self._final(call, error)
                raise

    async def _aonce(self, prompt: Any, kwargs: dict[str, Any]) -> Any:
        while True:
            with self._call(waits=False) as call:
                try:
                    return await super().acall(prompt, **kwargs)
                except InFlight as other:
                    landed = other.landed
                except Exception as error:
                    self._final(call, error)
                    raise
            await landing(landed)

    def _call(self, waits: bool = True) -> AbstractContextManager[Call]:
        return under_way(Call(self.role, self.meter, self.price, self.embedded, self.place, waits))

    def _final(self, call: Call, error: Exception) -> None:
        """Count a call that really was made and that no further try would mend."""
        if call.started is not None and not is_retryable_lm_error(error):
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        self.meter.failed(self.role, error, is_fatal(error))
        count_failure()

    def as_role(self, role: str) -> MeteredLM:
        """The same LM, counted as another role."""
        copy: MeteredLM = self.copy()
        copy.role = role
        return copy


def _delay(state: RetryCallState) -> float:
    """Seconds before the next try: what the provider asks for, else 1, 2, 4 … with up to a second of jitter."""
    error = state.outcome.exception() if state.outcome is not None else None
    asked = getattr(error, "retry_after", None)
    if isinstance(asked, int | float):
        return min(float(asked), LONGEST_WAIT)
    return _BACKOFF(state)


def build_lm(spec: LM, *, role: str = "task", meter: Meter | None = None, key: str = "lm") -> MeteredLM:
    """The LM that a request names, its key taken from the environment.

    Raises:
        ConfigError: where no provider knows the model, its key is not set, or an option is misspelt.
    """
    check_options(spec.options, f"{key}.options")
    options: dict[str, Any] = {"timeout": spec.timeout, "num_retries": 0, **with_secrets(spec.options, key)}
    model = spec.model
    if model == "local":
        from dspytrack.lm.local import start

        server = start(spec.path, key=key)
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
        options |= credentials(spec, key)
    try:
        lm = MeteredLM(model, **options)
    except (ValueError, TypeError, dspy.utils.exceptions.LMError) as error:
        raise ConfigError(str(error), key=f"{key}.model") from error
    lm.role, lm.meter, lm.price, lm.embedded = role, meter or Meter(), spec.price, spec.model == "local"
    lm.retries, lm.place = spec.num_retries, str(spec.path or "") if lm.embedded else str(options.get("api_base") or "")
    return lm


def metered(lm: dspy.LM, meter: Meter, key: str) -> MeteredLM:
    """An LM that a program brings along, counted and capped like the run's own.

    Raises:
        ConfigError: where it is of a kind that cannot be metered.
    """
    if isinstance(lm, MeteredLM):
        return lm
    if type(lm) is not dspy.LM:
        raise ConfigError(f"the program brings a {type(lm).__name__}; only a dspy.LM can be capped", key=key)
    copy = lm.copy()
    copy.__class__ = MeteredLM
    copy.role, copy.meter, copy.retries, copy.num_retries, copy.cache = "task", meter, lm.num_retries, 0, True
    copy.place = str(lm.kwargs.get("api_base") or "")
    found: MeteredLM = copy
    return found


def adapter_for(spec: LM) -> dspy.Adapter | None:
    """The embedded LM answers in grammar-bound JSON; any other LM uses DSPy's default adapter."""
    return dspy.JSONAdapter() if spec.model == "local" else None
