"""Options of an LM: a misspelt one is named with what was meant, a provider's own pass."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from dspytrack.errors import ConfigError
from dspytrack.lm.options import check_options

OWN_OF_PROVIDERS = """
    best_of chat_template echo format guided_choice guided_json ignore_eos keep_alive length_penalty max_new_tokens
    max_output_tokens min_p min_tokens mirostat_eta num_beams num_ctx num_keep num_predict plugins raw reasoning
    repeat_last_n repetition_penalty request_timeout rollout_id route safety_settings stop_sequences stop_token_ids
    suffix tfs_z thinking top_a top_k transforms typical_p
"""


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("modle", "model"),
        ("top_pp", "top_p"),
        ("temprature", "temperature"),
        ("temparature", "temperature"),
        ("maxtokens", "max_tokens"),
        ("max_token", "max_tokens"),
        ("sede", None),
        ("stopp", "stop"),
        ("respons_format", "response_format"),
        ("parallel_tool_call", "parallel_tool_calls"),
        ("pirce", "price"),
        ("api_bas", "api_base"),
    ],
)
@pytest.mark.parametrize("beside", [True, False])
def test_a_misspelt_option_is_named_with_what_was_meant(written: str, meant: str | None, beside: bool) -> None:
    if meant is None:  # half of so short a name: it may be any provider's own
        check_options({written: 1}, "lm.options", beside=beside)
        return
    with pytest.raises(ConfigError, match=rf"unknown option `{written}`\. Did you mean `{meant}`\?") as caught:
        check_options({written: 1}, "lm.options", beside=beside)
    assert caught.value.key == f"lm.options.{written}"


@pytest.mark.parametrize("name", [*OWN_OF_PROVIDERS.split(), "foo", "seed", "top_p", "extra_body", "timeout"])
def test_known_options_and_those_of_a_provider_pass(name: str) -> None:
    check_options({name: 1}, "lm.options")


@pytest.mark.parametrize(
    ("name", "beside", "says"),
    [
        ("price", True, "`price` stands beside `options`"),
        ("price", False, "`price` is a key of `lm`"),
        ("cache", True, "`cache` is set by the run"),
        ("num_retries", True, "`num_retries` stands beside `options`"),
        ("num_retries", False, "`num_retries` is a key of `lm`"),
    ],
)
def test_a_key_of_the_lm_is_no_option(name: str, beside: bool, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        check_options({name: 1}, "lm.options", beside=beside)


@pytest.mark.parametrize(
    ("value", "fits"), [(0, True), (1.5, True), (None, True), (-1, False), (True, False), ("1", False)]
)
def test_a_temperature_is_a_number_of_0_or_more(value: Any, fits: bool) -> None:
    if fits:
        check_options({"temperature": value}, "lm.options")
        return
    with pytest.raises(ConfigError, match="expected a number, 0 or more, not"):
        check_options({"temperature": value}, "lm.options")


def test_plain_options_import_no_client() -> None:
    code = (
        "import sys; from dspytrack.lm.options import check_options; "
        "check_options({'temperature': 1, 'max_tokens': 5}, 'lm.options'); "
        "assert not {'dspy', 'openai', 'litellm'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
