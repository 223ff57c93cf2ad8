"""The settings that are passed on to an LM, checked as far as can be known: providers have settings of their own."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from dspytrack.config.schema import LM
from dspytrack.errors import ConfigError

_CLOSE = 0.8  # of difflib's ratio: a letter or two that are missing, too many or in the wrong order
_THE_RUNS_OWN = {"cache", "num_retries"}
_OF_CALLS = """
    api_base api_key api_version audio base_url custom_llm_provider default_headers deployment_id drop_params engine
    extra_body extra_headers extra_query frequency_penalty function_call functions headers logit_bias logprobs
    max_completion_tokens max_output_tokens max_retries max_tokens metadata modalities model_type n organization
    parallel_tool_calls prediction presence_penalty project prompt_cache prompt_cache_key reasoning reasoning_effort
    request_timeout response_format rollout_id safety_identifier seed service_tier stop store stream stream_options
    temperature thinking timeout tool_choice tools top_logprobs top_p use_developer_role user verbosity
    web_search_options
"""
_OF_PROVIDERS = """
    best_of chat_template chat_template_kwargs echo format guided_choice guided_json guided_regex ignore_eos keep_alive
    length_penalty max_new_tokens min_p min_tokens mirostat mirostat_eta mirostat_tau num_beams num_ctx num_keep
    num_predict options plugins prompt_cache_retention provider raw repeat_last_n repeat_penalty repetition_penalty
    route safety_settings skip_special_tokens stop_sequences stop_token_ids suffix tfs_z top_a top_k transforms
    typical_p
"""
_KNOWN = frozenset((_OF_CALLS + _OF_PROVIDERS).split())
_BESIDE = frozenset(LM.model_fields) - _KNOWN - {"options"}


def check_options(options: Mapping[str, Any], key: str, *, beside: bool = True) -> None:
    """See that no setting is a known one misspelt, or has a value that no LM takes.

    Args:
        options: names and values, as in the config file.
        key: where they stand in it.
        beside: whether an LM's own keys stand beside them, as they do beside `lm.options`.

    Raises:
        ConfigError: for the first one that is wrong, with the nearest known name.
    """
    for name, value in options.items():
        place = f"{key}.{name}"
        if beside and name in _THE_RUNS_OWN:
            raise ConfigError("`cache` is the run's own; `num_retries` stands beside `options`", key=place)
        if name in _BESIDE:
            told = "stands beside `options`" if beside else "is a key of `lm`"
            raise ConfigError(f"`{name}` {told}; it is no setting of a call", key=place)
        near = [] if name in _KNOWN else difflib.get_close_matches(name, sorted(_KNOWN | _BESIDE), 1, _CLOSE)
        if near:
            raise ConfigError(f"unknown setting `{name}`. Did you mean `{near[0]}`?", key=place)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if name == "temperature" and value is not None and not (is_number and value >= 0):
            raise ConfigError(f"expected a number, 0 or more, not {value!r}", key=place)
