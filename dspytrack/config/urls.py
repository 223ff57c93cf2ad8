"""What is wrong with the address of a web server."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_SPACES = re.compile(r"[\s\x00-\x1f\x7f]")


def fault_of(address: str) -> str | None:
    """What is wrong with an http(s) address, in words; None if nothing is."""
    if not address.startswith(("http:", "https:")):
        return "it does not begin with http:// or https://"
    if _SPACES.search(address):
        return "it holds a space"
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        return str(error)
    return None if parts.hostname and port != 0 else "it names no server"
