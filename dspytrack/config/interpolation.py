"""`${VAR}` and `${VAR:-default}` in a text: their pattern, and how they are replaced."""

from __future__ import annotations

import re
from collections.abc import Callable

VARIABLE = re.compile(r"\$\{([A-Za-z_]\w*)(?::-([^}]*))?\}")


def filled(text: str, value_of: Callable[[str, str | None], str]) -> str:
    """A text with its variables replaced.

    Args:
        text: any.
        value_of: gives a variable's value, from its name and its default (None without one).
    """
    return VARIABLE.sub(lambda match: value_of(match.group(1), match.group(2)), text)
