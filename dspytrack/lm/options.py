"""The options passed on to an LM: a misspelt one is named, one that only a provider knows is let through.

Owns the check of names and of the temperature; which credentials they hold is `credentials.py`'s.
"""

from __future__ import annotations

import difflib
import inspect
from collections import Counter
from collections.abc import Mapping
from functools import cache
from typing import Any

from dspytrack.config.schema import LM
from dspytrack.errors import ConfigError

_SET_BY_THE_RUN = {"cache", "num_retries"}
_KEYS_AND_OPTIONS = {"api_base", "max_tokens", "temperature", "timeout"}  # of `lm` and of a call alike
_KEYS = frozenset(LM.model_fields) - _KEYS_AND_OPTIONS - {"options"}


def check_options(options: Mapping[str, Any], key: str, *, beside: bool = True) -> None:
    """See that no option is misspelt, and that the temperature is one.

    Args:
        options: names and values, as in the config file.
        key: where they stand in it.
        beside: whether they are `lm.options`, which stand beside the keys of `lm`.

    Raises:
        ConfigError: for the first one that is wrong, with the nearest known name.
    """
    for name, value in options.items():
        place = f"{key}.{name}"
        if beside and name in _SET_BY_THE_RUN:
            raise ConfigError("`cache` is set by the run; `num_retries` stands beside `options`", key=place)
        if name in _KEYS:
            where = "stands beside `options`" if beside else "is a key of `lm`"
            raise ConfigError(f"`{name}` {where}; it is no option of a call", key=place)
        meant = None if name in _KEYS_AND_OPTIONS else _misspelt(name)
        if meant is not None:
            raise ConfigError(f"unknown option `{name}`. Did you mean `{meant}`?", key=place)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if name == "temperature" and value is not None and not (is_number and value >= 0):
            raise ConfigError(f"expected a number, 0 or more, not {value!r}", key=place)


def _misspelt(name: str) -> str | None:
    """The known name that a name misspells; None where it is known, or far from all of them.

    A misspelling misses, doubles or swaps a letter or two. Another letter at the same place makes one only in a long
    name: `top_k` is not `top_p`.
    """
    known = _known()
    if name in known:
        return None
    for near in difflib.get_close_matches(name, sorted(known), cutoff=0.8):
        ours, theirs = Counter(name), Counter(near)
        same_letters = abs(len(name) - len(near)) <= 2 and (ours <= theirs or theirs <= ours)
        if same_letters or difflib.SequenceMatcher(None, name, near).ratio() >= 0.9:
            return near
    return None


@cache
def _known() -> frozenset[str]:
    """What dspy.LM, a chat completion and its client take by name, in the installed versions (imports take 0.7 s)."""
    import dspy
    from openai import OpenAI
    from openai.resources.chat import Completions

    functions = (dspy.LM.__init__, OpenAI.__init__, Completions.create)
    return frozenset(LM.model_fields).union(*(inspect.signature(one).parameters for one in functions)) - {"self"}
