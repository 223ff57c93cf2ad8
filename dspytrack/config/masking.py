"""What must never be printed, logged or sent: keys and passwords, masked wherever a text may carry one.

Known are the environment's variables whose names say so, what `keep_secret` was told, and passwords inside addresses.
What a setting may hold is `settings_secrets.py`'s.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

_WORDS = r"secret|passw(?:or)?d|passphrase|credential|authorization"
_NAMES = re.compile(rf"(?i)((?:{_WORDS})s?|key|token|_pwd|cookie)$")  # PWD is the working folder
_PORT = r"""\d{1,5}(?:[\s/?#"',;)\]}>\\\x00-\x1f\x7f-\x9f]|$)"""
_IN_ADDRESS = re.compile(
    # A password may hold `/` and `@`; only after http(s) a number and `/` are a port and a path that may hold an `@`.
    rf"((?:(?<!http)(?<!https)|(?=://[^:/@\s]*:(?!{_PORT})))://[^:/@\s]*:)[^\s\x00-\x1f\x7f-\x9f]*@"
)
SHORTEST = 6  # a shorter value would mask words that are no secrets
_told: set[str] = set()


def keep_secret(value: str) -> None:
    """Mask a value from now on, whatever its variable is called."""
    if len(value) >= SHORTEST:
        _told.add(value)


def is_secret(name: str) -> bool:
    """Whether a variable's value is a secret by the variable's name."""
    return bool(_NAMES.search(name))


def has_password(text: str) -> bool:
    """Whether an address in a text carries a password."""
    return bool(_IN_ADDRESS.search(text))


def masked(text: str, more: Iterable[str] = ()) -> str:
    """A text with every known secret as `***`.

    Args:
        text: any.
        more: further secrets, such as those of an env file.
    """
    named = (value for name, value in os.environ.items() if is_secret(name))
    found = {value for value in (*named, *_told, *more) if len(value) >= SHORTEST}
    for value in sorted(found, key=len, reverse=True):
        text = text.replace(value, "***")
    return _IN_ADDRESS.sub(r"\1***@", text)
