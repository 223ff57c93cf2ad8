"""Masks secrets in whatever is printed, logged or sent: the known ones by their value, others by their form.

Known are the environment's secrets and what `keep_secret` was given. What a secret is, is said in `secrets.py`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable

from dspytrack.config.secrets import MASK, SHORTEST, decoded, hidden, is_secret_variable

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{8,}={0,2}")
_kept: set[str] = set()


def keep_secret(value: str) -> None:
    """Mask a value from now on, whatever its variable is called."""
    if len(value) >= SHORTEST:
        _kept.add(value)


def masked(text: str, more: Iterable[str] = ()) -> str:
    """A text with `***` for every secret in it: a known value, also in base64, and what is a secret by its form.

    Args:
        text: any.
        more: further secrets, such as those of an env file.
    """
    of_environment = (value for name, value in os.environ.items() if is_secret_variable(name, value))
    known = {value for value in (*of_environment, *_kept, *more) if len(value) >= SHORTEST}
    for value in sorted(known, key=len, reverse=True):
        text = text.replace(value, MASK)
    return hidden(_without_encoded(text, known))


def _without_encoded(text: str, known: Collection[str]) -> str:
    """A text without base64 of a known secret, such as the login of an `Authorization: Basic` header."""
    encoded = [value.encode() for value in known]

    def hide(found: re.Match[str]) -> str:
        held = decoded(found[0])
        return MASK if any(value in held for value in encoded) else found[0]

    return _BASE64.sub(hide, text) if encoded else text
