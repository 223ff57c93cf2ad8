"""What each way to run a server can do, and the values it returns.

Owns the protocol and its values. `compose.backend` and `local.backend` implement it; `current` chooses between them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from dspytrack.server.settings import ServerOptions

OnProgress = Callable[[str], None]
"""Called with what is being done now, in a few words."""


@dataclass(frozen=True)
class Service:
    """One container or process; `volume_bytes` is None where it has no data or does not answer."""

    name: str
    state: str
    health: str
    image: str
    volume_bytes: int | None = None


@dataclass(frozen=True)
class ServerStatus:
    """The state of a server; `runs` and `version` are None where it does not answer."""

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


class Backend(Protocol):
    """One way to run the server whose settings are in an env file."""

    def up(self, options: ServerOptions, progress: OnProgress) -> ServerStatus:
        """Start it, wait until it is healthy, and make it the server that `optimize` uses.

        Raises:
            UsageError: for options that do not fit, a port in use, or an env file that cannot be written.
            UnreachableError: where it cannot be started, with the reason.
        """

    def down(self, env_file: Path, delete_data: bool) -> tuple[str, ...]:
        """Stop it; its data stays unless `delete_data`.

        Returns:
            What is still there or still runs, as notes for the user.

        Raises:
            UnreachableError: where it cannot be stopped.
        """

    def status(self, env_file: Path) -> ServerStatus:
        """Its state now.

        Raises:
            UsageError: where its settings are wrong.
            UnreachableError: where Docker does not answer.
        """

    def logs(self, env_file: Path, service: str | None, follow: bool) -> Iterator[str]:
        """The lines of its log, secrets masked; with `follow`, for as long as it runs.

        Raises:
            NotFoundError, UsageError: for an unknown service, or where there is no log.
            UnreachableError: where Docker does not answer.
        """
