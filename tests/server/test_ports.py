"""Ports of this machine: what is free, and what holds the others."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from dspytrack.errors import UsageError
from dspytrack.server.ports import check_port, next_free, port_holder
from tests.support.ports import free_port


@pytest.fixture
def held() -> Iterator[int]:
    """A port that this process listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield int(listening.getsockname()[1])


@pytest.fixture(autouse=True)
def no_docker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No container is asked for: that is for the tests with an engine."""
    monkeypatch.setenv("PATH", str(tmp_path))


def test_a_free_port_passes_and_nobody_holds_it() -> None:
    port = free_port()
    check_port("127.0.0.1", port)
    assert port_holder(port) is None


def test_a_port_in_use_is_reported_with_its_process_and_a_command_with_a_free_one(held: int) -> None:
    assert f"(process {os.getpid()})" in (port_holder(held) or "")
    with pytest.raises(UsageError) as error:
        check_port("127.0.0.1", held, "--local ")
    other = next_free(held)
    assert f"port {held} is in use by " in str(error.value) and f"(process {os.getpid()})" in str(error.value)
    assert str(error.value).endswith(f"dspytrack server up --local --port {other}")
    check_port("127.0.0.1", other)


def test_a_port_that_is_only_connected_to_is_not_held_by_the_client(held: int) -> None:
    with socket.create_connection(("127.0.0.1", held)) as client:
        assert port_holder(client.getsockname()[1]) is None


def test_an_address_of_another_machine_is_rejected() -> None:
    with pytest.raises(UsageError, match=r"cannot listen on 192\.0\.2\.1:5000"):
        check_port("192.0.2.1", 5000)


def test_an_ipv6_address_can_be_checked() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(UsageError, match="is in use"):
            check_port("::1", port)
