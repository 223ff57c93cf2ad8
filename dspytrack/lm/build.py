"""Builds the LMs of a run: task, teacher, prompt and reflection LM, judge, each labelled with its role.

How many calls they may make is `metering/meter.py`'s, how a call is made `metering/calls.py`'s.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import dspy

from dspytrack.config.schema import LM
from dspytrack.errors import ConfigError
from dspytrack.lm.credentials import credentials, with_secrets
from dspytrack.lm.metering.dspy_hooks import knows_price
from dspytrack.lm.metering.scope import Label, label_of, labelled
from dspytrack.lm.options import check_options

# Prices come with the installed packages: a run neither waits for a download nor changes its cost with the day.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")


class EmbeddedLM(dspy.LM):  # type: ignore[misc]
    """The embedded LM: its outputs are bound by a grammar, which DSPy's catalogue of models cannot know."""

    @property
    def supports_response_schema(self) -> bool:
        """True: it takes a JSON schema."""
        return True

    @property
    def supported_params(self) -> set[str]:
        """What any LM of its kind takes, and a response format."""
        known: set[str] = super().supported_params
        return known | {"response_format"}


def build_lm(spec: LM, *, role: str = "task", key: str = "lm") -> dspy.LM:
    """The LM that a request names, its key taken from the environment.

    Args:
        spec: of the LM.
        role: that its calls are counted by.
        key: of the config file, for errors.

    Raises:
        ConfigError: where no provider knows the model, its key is not set, or an option is misspelt.
    """
    check_options(spec.options, f"{key}.options")
    options: dict[str, Any] = {
        "timeout": spec.timeout,
        "num_retries": spec.num_retries,
        **with_secrets(spec.options, key),
    }
    if spec.model == "local":
        return _build_embedded(spec, options, role, key)
    given = {"api_base": spec.api_base, "temperature": spec.temperature, "max_tokens": spec.max_tokens}
    options |= {name: value for name, value in given.items() if value is not None}
    options |= credentials(spec, key)
    try:
        lm = dspy.LM(spec.model, **options)
    except (ValueError, TypeError, dspy.utils.exceptions.LMError) as error:
        raise ConfigError(str(error), key=f"{key}.model") from error
    server = str(options.get("api_base") or "")
    return labelled(lm, Label(role, spec.price, server=server))


def _build_embedded(spec: LM, options: dict[str, Any], role: str, key: str) -> dspy.LM:
    from dspytrack.lm.local import start

    given = {"temperature": spec.temperature, "max_tokens": spec.max_tokens}
    options = {"temperature": 0.0, **options, **{name: value for name, value in given.items() if value is not None}}
    server = start(spec.path, key=key)
    lm = EmbeddedLM("openai/local", **options | {"api_base": server.api_base, "api_key": "local"})
    return labelled(lm, Label(role, spec.price, is_free=True, server=str(spec.path or "")))


def as_role(lm: dspy.LM, role: str) -> dspy.LM:
    """A copy of an LM whose calls are counted by another role."""
    return labelled(lm.copy(), replace(label_of(lm), role=role))


def is_price_known(lm: dspy.BaseLM) -> bool:
    """Whether a call's cost can be computed from its tokens."""
    label = label_of(lm)
    return label.is_free or label.price is not None or knows_price(lm.model)


def adapter_for(spec: LM) -> dspy.Adapter | None:
    """The embedded LM answers in grammar-bound JSON; any other LM uses DSPy's default adapter."""
    return dspy.JSONAdapter() if spec.model == "local" else None
