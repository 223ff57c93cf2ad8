"""A real `mlflow server` process that can be killed and started again, and a gate before it.

The gate plays faults, and what stands before servers elsewhere: a path prefix, a bearer token, TLS.
"""

from __future__ import annotations

import http.client
import os
import random
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.ports import free_port


@dataclass
class TrackingServer:
    """`mlflow server` over a folder: SQLite, artifacts through the server, with `password` MLflow's own logins."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    password: str | None = None
    artifacts: Path | None = None

    @property
    def address(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it is healthy."""
        command = [sys.executable, "-m", "mlflow", "server", "--port", str(self.port), "--workers", "1"]
        command += ["--backend-store-uri", f"sqlite:///{self.folder}/server.db"]
        command += ["--artifacts-destination", str(self.artifacts or self.folder / "artifacts")]
        command += ["--app-name", "basic-auth"] if self.password else []
        quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        env = os.environ | quiet | self._logins()
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                env=env,
                start_new_session=True,
                cwd=self.folder,
            )
        until = time.monotonic() + 240
        while not self._healthy():
            alive = self.process.poll() is None and time.monotonic() < until
            assert alive, (self.folder / "server.log").read_text()[-2000:]
            time.sleep(0.2)

    def _logins(self) -> dict[str, str]:
        if self.password is None:
            return {}
        (self.folder / "auth.ini").write_text(
            "[mlflow]\ndefault_permission = READ\nadmin_username = admin\n"
            "auth_cache_ttl_seconds = 60\n"  # else each request takes 0.3 s for the password's hash
            f"database_uri = sqlite:///{self.folder}/auth.db\n"
            "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        )
        return {
            "MLFLOW_AUTH_CONFIG_PATH": str(self.folder / "auth.ini"),
            "MLFLOW_AUTH_ADMIN_PASSWORD": self.password,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "a-secret-of-the-tests",
        }

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
def tracking_server(
    folder: Path, password: str | None = None, artifacts: Path | None = None
) -> Iterator[TrackingServer]:
    """A running server for as long as the block lasts; with a password it has the login `admin`."""
    server = TrackingServer(folder, password=password, artifacts=artifacts)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@contextmanager
def storm(server: TrackingServer, rng: random.Random) -> Iterator[list[float]]:
    """Kill a server and start it again at random moments for as long as the block lasts; it is up at the end.

    The list has the moment of each kill (monotonic seconds).
    """
    over, kills, broken = threading.Event(), list[float](), list[BaseException]()

    def weather() -> None:
        try:
            while not over.wait(rng.uniform(1, 4)):
                server.kill()
                kills.append(time.monotonic())
                over.wait(rng.uniform(0.5, 2))
                server.start()
        except BaseException as error:  # noqa: BLE001 - handed on, whatever it is
            broken.append(error)

    thread = threading.Thread(target=weather)
    thread.start()
    try:
        yield kills
    finally:
        over.set()
        thread.join()
    if broken:
        raise broken[0]


@dataclass
class Gate:
    """What the gate does with a request: pass it on, or play `fault` (an HTTP code, "hang"), after `delay` seconds.

    With a `prefix` only paths below it are there; with a `token` only who bears it enters; `version` is the
    MLflow version that it claims; `clock` is how many seconds the gate's clock is ahead.
    """

    server: TrackingServer
    address: str = ""
    fault: int | str | None = None
    delay: float = 0.0
    requests: int = 0
    prefix: str = ""
    token: str | None = None
    version: str | None = None
    clock: float = 0.0

    def refusal(self, path: str, authorization: str | None) -> int | None:
        """The HTTP code of a request that does not get through."""
        if isinstance(self.fault, int):
            return self.fault
        if self.token is not None and authorization != f"Bearer {self.token}":
            return 401
        return None if path.startswith(f"{self.prefix}/") else 404


@contextmanager
def gate(
    server: TrackingServer, prefix: str = "", token: str | None = None, certificate: Path | None = None
) -> Iterator[Gate]:
    """A gate before a server for as long as the block lasts; with a certificate (`self_signed`) it speaks TLS."""
    found = Gate(server, prefix=prefix, token=token)
    listener = _Listener(("127.0.0.1", 0), _handler(found))
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        listener.socket = context.wrap_socket(listener.socket, server_side=True, do_handshake_on_connect=False)
    scheme = "https" if certificate else "http"
    found.address = f"{scheme}://127.0.0.1:{listener.server_address[1]}{prefix}"
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
        if not isinstance(sys.exc_info()[1], ConnectionError | ssl.SSLError):
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
                self.close_connection = True  # no answer, and nothing that comes to the server after all
                return
            refused = gate.refusal(self.path, self.headers.get("Authorization"))
            if refused is not None:
                self._answer(refused, {"Content-Type": "text/plain"}, b"played fault")
                return
            path = self.path.removeprefix(gate.prefix)
            if path == "/version" and gate.version is not None:
                self._answer(200, {"Content-Type": "text/plain"}, gate.version.encode())
                return
            onward = http.client.HTTPConnection("127.0.0.1", gate.server.port, timeout=60)
            onward.request(self.command, path, body, dict(self.headers))
            answer = onward.getresponse()
            left_out = ("content-length", "transfer-encoding", "date")
            kept = {k: v for k, v in answer.getheaders() if k.lower() not in left_out}
            self._answer(answer.status, kept, answer.read())

        def _answer(self, code: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response_only(code)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Date", formatdate(time.time() + gate.clock, usegmt=True))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

        def log_message(self, format: str, *args: Any) -> None:
            """Keep the tests' output clean."""

    return Handler


def self_signed(folder: Path) -> Path:
    """A new certificate for loopback that nobody knows, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / "server.pem"
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return file
