"""Which backend serves a folder: the one that its env file names."""

from __future__ import annotations

from pathlib import Path

import pytest

from dspytrack.errors import NotFoundError, UnreachableError, UsageError
from dspytrack.server import current
from dspytrack.server.settings import ServerOptions
from tests.support.ports import free_port


@pytest.fixture
def env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An env file in a folder of its own, on a machine without Docker."""
    monkeypatch.delenv("MLFLOW_SERVER_KIND", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path / ".env.mlflow"


def test_without_a_server_every_question_gives_the_command_that_starts_one(env_file: Path) -> None:
    for ask in (current.status, current.down, current.logs):
        with pytest.raises(NotFoundError, match="start one: dspytrack server up"):
            ask(env_file)


def test_an_unknown_kind_is_rejected_with_the_known_ones(env_file: Path) -> None:
    env_file.write_text("MLFLOW_SERVER_KIND=podman\n")
    for ask in (current.status, current.down, current.logs):
        with pytest.raises(UsageError, match="expected compose or local"):
            ask(env_file)


def test_the_env_file_chooses_the_backend(env_file: Path) -> None:
    env_file.write_text(f"MLFLOW_SERVER_KIND=local\nMLFLOW_SERVER_PORT={free_port()}\n")
    found = current.status(env_file)
    assert found.kind == "local" and not found.running
    env_file.write_text("MLFLOW_SERVER_KIND=compose\n")
    with pytest.raises(UnreachableError, match=r"Docker is not installed; .*--local"):
        current.status(env_file)


def test_options_of_one_backend_are_rejected_by_the_other(env_file: Path) -> None:
    for kind, options, message in (
        ("local", ServerOptions(env_file, with_s3=True), "--with-s3 adds a container"),
        (
            "compose",
            ServerOptions(env_file, backend_store_uri="postgresql://h/d"),
            "--backend-store-uri is for --local",
        ),
    ):
        with pytest.raises(UsageError, match=message):
            current.up(options, kind, print)  # type: ignore[arg-type]
    assert not env_file.exists()
