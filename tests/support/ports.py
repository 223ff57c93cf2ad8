"""Ports of loopback for servers of the tests, so given out that nobody else comes by them."""

from __future__ import annotations

import os
import random
import socket

_FIRST, _SHARE, _SHARES = 20_000, 1_500, 8  # all below those that the system gives to outgoing connections
_given: set[int] = set()
_random = random.SystemRandom()  # optimizers seed the other one, alike in every worker


def free_port() -> int:
    """A port that nothing listens on, from this worker's own share; each is given out once.

    So no outgoing connection and no other test takes it while its server is not up yet, is down or is meant to be gone.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = _FIRST + worker % _SHARES * _SHARE
    while True:
        port = _random.randrange(first, first + _SHARE)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in _given:
            _given.add(port)
            return port
