"""A real `mlflow server` process that can be killed and started again, and a gate before it that plays faults."""

from __future__ import annotations

import http.client
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class TrackingServer:
    """`mlflow server` over a folder: SQLite, artifacts through the server."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it is healthy."""
        command = [sys.executable, "-m", "mlflow", "server", "--port", str(self.port), "--workers", "1"]
        command += ["--backend-store-uri", f"sqlite:///{self.folder}/server.db"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env=os.environ | quiet, start_new_session=True, cwd=self.folder
            )
        until = time.monotonic() + 120
        while not self._healthy():
            assert time.monotonic() < until, (self.folder / "server.log").read_text()[-2000:]
            time.sleep(0.2)

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def kill(self) -> None:
        """SIGKILL it and all it started."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@contextmanager
def tracking_server(folder: Path) -> Iterator[TrackingServer]:
    """A running server for as long as the block lasts."""
    server = TrackingServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@contextmanager
def storm(server: TrackingServer, rng: random.Random) -> Iterator[None]:
    """Kill a server and start it again at random moments for as long as the block lasts; it is up at the end."""
    over = threading.Event()

    def weather() -> None:
        while not over.wait(rng.uniform(1, 4)):
            server.kill()
            over.wait(rng.uniform(0.5, 2))
            server.start()

    thread = threading.Thread(target=weather)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@dataclass
class Gate:
    """What the gate does with a request: pass it on, or play `fault` (an HTTP code, "hang"), after `delay` seconds."""

    server: TrackingServer
    address: str = ""
    fault: int | str | None = None
    delay: float = 0.0
    requests: int = 0


@contextmanager
def gate(server: TrackingServer) -> Iterator[Gate]:
    """A gate before a server for as long as the block lasts."""
    found = Gate(server)
    listener = _Listener(("127.0.0.1", 0), _handler(found))
    found.address = f"http://127.0.0.1:{listener.server_address[1]}"
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    try:
        yield found
    finally:
        listener.shutdown()
        listener.server_close()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves in the middle resets its connection; anything else is the test's business."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def _handler(gate: Gate) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            gate.requests += 1
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            time.sleep(gate.delay)
            if gate.fault == "hang":
                time.sleep(60)
            if isinstance(gate.fault, int):
                self._answer(gate.fault, {"Content-Type": "text/plain"}, b"played fault")
                return
            onward = http.client.HTTPConnection("127.0.0.1", gate.server.port, timeout=60)
            onward.request(self.command, self.path, body, dict(self.headers))
            answer = onward.getresponse()
            kept = {k: v for k, v in answer.getheaders() if k.lower() not in ("content-length", "transfer-encoding")}
            self._answer(answer.status, kept, answer.read())

        def _answer(self, code: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response_only(code)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

        def log_message(self, format: str, *args: Any) -> None:
            """Keep the tests' output clean."""

    return Handler
