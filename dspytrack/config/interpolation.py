"""`${VAR}` and `${VAR:-default}` in a text: what they look like, and the text with the environment's values."""

from __future__ import annotations

import re
from collections.abc import Callable

VARIABLE = re.compile(r"\$\{([A-Za-z_]\w*)(?::-([^}]*))?\}")


def filled(text: str, value_of: Callable[[str, str | None], str]) -> str:
    """A text with its variables replaced.

    Args:
        text: any.
        value_of: given a variable's name and its default, or None.
    """
    return VARIABLE.sub(lambda match: value_of(match.group(1), match.group(2)), text)
