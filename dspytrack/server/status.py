"""What a server is and how it does, as values: the answer of `up` and `status`, whatever runs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Service:
    """One container or process; `volume_bytes` is None where it has no data or cannot be asked."""

    name: str
    state: str
    health: str
    image: str
    volume_bytes: int | None = None


@dataclass(frozen=True)
class ServerStatus:
    """A server; `runs` and `version` are None where it cannot be asked."""

    kind: str
    address: str
    healthy: bool
    auth: bool
    version: str | None
    client_version: str
    runs: int | None
    artifacts: str
    services: tuple[Service, ...]
    notes: tuple[str, ...] = ()

    @property
    def running(self) -> bool:
        """Whether any of its services runs, healthy or not."""
        return any(service.state.startswith(("running", "restarting")) for service in self.services)

    def as_document(self) -> dict[str, Any]:
        """The same as JSON."""
        return asdict(self)
