"""Ports of this machine: is one free, what listens on it, which is free instead."""

from __future__ import annotations

import errno
import shutil
import socket
import subprocess
from contextlib import suppress

import psutil

from dspytrack.errors import UsageError

_DOCKER_SECONDS = 10


def check_port(host: str, port: int, options: str = "") -> None:
    """See that an address can be listened on.

    Args:
        host: a name or address of this machine.
        port: the port.
        options: options of `server up` to repeat in the command that the error gives, with a space at the end.

    Raises:
        UsageError: where it is in use (by what, if that can be found out) or is no address of this machine.
    """
    error = _bind_error(host, port)
    if error is None:
        return
    if error.errno == errno.EADDRINUSE:
        raise port_in_use(port, options) from error
    raise UsageError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error


def port_in_use(port: int, options: str = "") -> UsageError:
    """The error for a port that something else listens on, with one that is free."""
    holder = port_holder(port)
    by = f" by {holder}" if holder else ""
    command = f"dspytrack server up {options}--port {next_free(port)}"
    return UsageError(f"port {port} is in use{by}; choose another: {command}")


def next_free(port: int) -> int:
    """The next port that nothing listens on."""
    near = range(port + 1, min(port + 50, 65536))
    return next((one for one in near if _bind_error("127.0.0.1", one) is None), port + 1)


def port_holder(port: int) -> str | None:
    """The container or process that listens on a port; None where there is none, or it is another user's."""
    container = _publishing_container(port)
    if container is not None:
        return f"the container {container}"
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # it ended, or is another user's
            for used in process.net_connections("tcp"):
                if used.status == psutil.CONN_LISTEN and used.laddr.port == port:
                    return f"{process.name()} (process {process.pid})"
    return None


def _publishing_container(port: int) -> str | None:
    if shutil.which("docker") is None:
        return None
    command = ["docker", "ps", "--filter", f"publish={port}", "--format", "{{.Names}}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_DOCKER_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return None
    return next(iter(done.stdout.split()), None) if done.returncode == 0 else None


def _bind_error(host: str, port: int) -> OSError | None:
    """What binding the address raises; None where it is free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error
    return None
