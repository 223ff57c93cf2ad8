"""Ports and health over HTTP: is an address free, who holds it, does a server answer on it."""

from __future__ import annotations

import errno
import re
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from base64 import b64encode

from dspytrack.errors import UsageError

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    return host in _LOOPBACK or host.startswith("127.")


def check_port(host: str, port: int, options: str = "") -> None:
    """See that an address can be listened on; `options` are those of the command that would listen.

    Raises:
        UsageError: where it is in use (by what, if that can be known) or is no address of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise port_in_use(port, options) from error
            raise UsageError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error


def port_in_use(port: int, options: str = "") -> UsageError:
    """The error for a port that something else listens on, with one that is free."""
    holder = holder_of(port)
    by = f" by {holder}" if holder else ""
    other = next_free(port)
    return UsageError(f"port {port} is in use{by}; choose another: dspytrack server up {options}--port {other}")


def next_free(port: int) -> int:
    """The next port that nothing listens on."""
    return next((near for near in range(port + 1, min(port + 50, 65536)) if _is_free(near)), port + 1)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def holder_of(port: int) -> str | None:
    """The container or process that listens on a port; None where the machine does not tell."""
    container = _output("docker", "ps", "--filter", f"publish={port}", "--format", "{{.Names}}")
    if container:
        return f"the container {container.splitlines()[0]}"
    found = re.search(r'users:\(\("([^"]+)",pid=(\d+)', _output("ss", "-H", "-ltnp", f"sport = :{port}"))
    if found:
        return f"{found.group(1)} (process {found.group(2)})"
    lines = _output("lsof", "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fpc").splitlines()
    listed = {line[0]: line[1:] for line in lines}
    return f"{listed['c']} (process {listed['p']})" if {"c", "p"} <= listed.keys() else None


def _output(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return ""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def get(address: str, login: tuple[str, str] | None = None, timeout: float = 3) -> str | None:
    """The body of a page on this machine, past any proxy; None where the server does not answer with 200."""
    request = urllib.request.Request(address)
    if login is not None:
        request.add_header("Authorization", "Basic " + b64encode(":".join(login).encode()).decode())
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=timeout) as answer:
            return str(answer.read(10_000).decode(errors="replace"))
    except (OSError, urllib.error.URLError):
        return None


def local_names() -> list[str]:
    """The names and addresses by which others on the network may call this machine."""
    name = socket.gethostname()
    try:
        addresses = [str(found[4][0]) for found in socket.getaddrinfo(name, None, socket.AF_INET)]
    except socket.gaierror:  # a machine that does not know itself by name
        addresses = []
    return [found for found in dict.fromkeys([name, socket.getfqdn(), *addresses]) if not is_loopback(found)]
