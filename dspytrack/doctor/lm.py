"""Checks of the LMs in a config file: is the key set, does each answer. One tiny real call each."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from tempfile import TemporaryDirectory

from dspytrack.config.schema import LM, OptimizationRequest
from dspytrack.doctor.check import Check, failed, passed, skipped
from dspytrack.doctor.folder_settings import FolderSettings
from dspytrack.errors import ConfigError
from dspytrack.results.roles import LM_KEYS

_SECONDS = 20.0


def language_models(here: FolderSettings) -> Iterator[Check]:
    """Each LM in the config file answers."""
    if here.request is None:
        yield skipped("LM", "--lm config.yaml checks the LMs of a config file, with one real call each")
        return
    for spec, keys in _distinct(here.request):
        yield _called(spec, keys)


def _distinct(request: OptimizationRequest) -> list[tuple[LM, str]]:
    """The distinct LMs of a request, each with the keys that name it."""
    named: list[tuple[str, LM | None]] = [(key, attrgetter(key)(request)) for key in LM_KEYS]
    distinct: list[tuple[LM, str]] = []
    for key, spec in named:
        keys = [other for other, one in named if one == spec]
        if spec is not None and keys[0] == key:
            distinct.append((spec, ", ".join(keys)))
    return distinct


def _called(spec: LM, keys: str) -> Check:
    from dspytrack.lm.build import build_lm
    from dspytrack.lm.metering.dspy_hooks import metering
    from dspytrack.lm.metering.meter import Meter

    name, key = f"LM: {keys}", keys.partition(",")[0]
    quick = spec.model_copy(update={"timeout": min(spec.timeout, _SECONDS), "num_retries": 0})
    if spec.model == "local":
        quick = quick.model_copy(update={"max_tokens": 8})
    try:
        lm = build_lm(quick, key=key)
    except ConfigError as error:
        unset = re.findall(r"\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b", error.message)
        fix = "; ".join(f"export {one}=…" for one in unset) or f"correct `{key}` in the config file"
        return failed(name, error.message, fix)
    lm.cache = False
    started = time.monotonic()
    try:
        with TemporaryDirectory() as folder, metering(Path(folder) / "responses.jsonl", Meter()):
            lm(messages=[{"role": "user", "content": "Answer with the word ok."}])
    except Exception as error:  # noqa: BLE001 - whatever a provider's client raises is the result of the check
        return failed(name, f"{spec.model}: {_reason(error)}", _fix(spec, error))
    return passed(name, f"{spec.model} answered in {time.monotonic() - started:.1f} s (one real call)")


def _fix(spec: LM, error: Exception) -> str:
    if type(error).__name__ in ("LMAuthError", "LMBillingError"):
        variable = spec.api_key_env or f"{spec.model.partition('/')[0].upper()}_API_KEY"
        return f"export {variable}=… with a key that the provider accepts"
    where = f"{spec.api_base} (api_base)" if spec.api_base else "the provider"
    return f"check that {where} can be reached from here, and knows the model"


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
