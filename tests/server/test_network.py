"""Addresses of this machine, and GET requests to a server on it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from dspytrack.server.network import get, is_loopback, local_names
from tests.support.ports import free_port


@pytest.fixture
def address() -> Iterator[str]:
    """A server that lets in the login me:too and nobody else."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.headers["Authorization"] == "Basic bWU6dG9v" else 401)
            self.end_headers()
            self.wfile.write(b"OK")

    with ThreadingHTTPServer(("127.0.0.1", free_port()), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_only_a_200_has_a_body_and_a_proxy_is_not_asked(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert get(address, ("me", "too")) == "OK"
    assert get(address, ("me", "wrong")) is None and get(address) is None
    assert get(f"http://127.0.0.1:{free_port()}") is None


def test_loopback_is_what_only_this_machine_reaches() -> None:
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.0.1.1", "::1")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.1.2.3", "example.com")))
    assert not any(map(is_loopback, local_names()))
