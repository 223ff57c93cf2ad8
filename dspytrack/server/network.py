"""How this machine is addressed, and GET requests to a server on it."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from base64 import b64encode

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    return host in _LOOPBACK or host.startswith("127.")


def local_names() -> list[str]:
    """The names and addresses by which others on the network may call this machine."""
    name = socket.gethostname()
    try:
        addresses = [str(found[4][0]) for found in socket.getaddrinfo(name, None, socket.AF_INET)]
    except socket.gaierror:  # a machine whose own name does not resolve
        addresses = []
    return [found for found in dict.fromkeys([name, socket.getfqdn(), *addresses]) if not is_loopback(found)]


def get(address: str, login: tuple[str, str] | None = None, timeout: float = 3) -> str | None:
    """The body of a page on this machine, past any proxy; None where the server does not answer with 200."""
    request = urllib.request.Request(address)
    if login is not None:
        request.add_header("Authorization", "Basic " + b64encode(":".join(login).encode()).decode())
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=timeout) as response:
            return str(response.read(10_000).decode(errors="replace"))
    except (OSError, urllib.error.URLError):
        return None
