"""API keys from the environment: which one an LM takes, and whether it is there, before anything is spent."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from dspytrack.config.interpolation import filled
from dspytrack.config.keys import Loc, dotted
from dspytrack.config.masking import keep_secret
from dspytrack.config.schema import LM
from dspytrack.config.secrets import may_refer
from dspytrack.errors import ConfigError

# Providers that DSPy calls without LiteLLM, with the keys it takes. LiteLLM knows more, but takes seconds to import.
_NATIVE_KEYS = {
    "openai": ("OPENAI_API_KEY",),
    "anthropic": ("ANTHROPIC_API_KEY",),
    "gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "groq": ("GROQ_API_KEY",),
    "deepseek": ("DEEPSEEK_API_KEY",),
    "openrouter": ("OPENROUTER_API_KEY",),
    "xai": ("XAI_API_KEY",),
}


def credentials(spec: LM, key: str) -> dict[str, Any]:
    """The API key that an LM takes, looked up in the environment, as dspy.LM's arguments.

    Args:
        spec: of the LM.
        key: of the config file, for errors.

    Raises:
        ConfigError: where no provider knows the model, or its key is not set.
    """
    missing = _missing(spec, key)
    if spec.api_key_env is not None:
        secret = os.environ.get(spec.api_key_env)
        if not secret:
            raise ConfigError(f"the environment variable {spec.api_key_env} is not set", key=f"{key}.api_key_env")
        keep_secret(secret)
        return {"api_key": secret}
    if missing:
        raise ConfigError(f"set {' and '.join(missing)} in the environment to use `{spec.model}`", key=f"{key}.model")
    return {}


def with_secrets(options: Mapping[str, Any], key: str) -> dict[str, Any]:
    """An LM's options with the environment's values for the secrets that they refer to.

    Args:
        options: of a request, `${VAR}` where a secret belongs.
        key: of the config file, for errors.

    Raises:
        ConfigError: where a variable is not set.
    """
    found = _with_secrets(dict(options), ("lm", "options"), key)
    assert isinstance(found, dict)
    return found


def _with_secrets(value: Any, loc: Loc, key: str) -> Any:
    if isinstance(value, dict):
        return {name: _with_secrets(inner, (*loc, name), key) for name, inner in value.items()}
    if isinstance(value, list):
        return [_with_secrets(inner, (*loc, index), key) for index, inner in enumerate(value)]
    if not isinstance(value, str) or not may_refer(loc):
        return value

    def value_of(name: str, default: str | None) -> str:
        secret = os.environ.get(name)
        if not secret:
            raise ConfigError(f"the environment variable {name} is not set", key=f"{key}.{dotted(loc[1:])}")
        keep_secret(secret)
        return secret

    return filled(value, value_of)


def _missing(spec: LM, key: str) -> list[str]:
    """The environment variables that a model's provider, which must be a known one, takes and that are not set."""
    provider, _, name = spec.model.partition("/")
    if name and provider in _NATIVE_KEYS:
        keys = _NATIVE_KEYS[provider]
        return [] if any(os.environ.get(one) for one in keys) else [" or ".join(keys)]
    import litellm

    litellm.suppress_debug_info = True  # it would print its list of providers to stdout
    try:
        litellm.get_llm_provider(spec.model)
    except litellm.BadRequestError as error:
        raise ConfigError(
            f"no provider knows `{spec.model}`; expected provider/model, such as openai/gpt-4.1-mini",
            key=f"{key}.model",
        ) from error
    return litellm.validate_environment(spec.model).get("missing_keys") or []
