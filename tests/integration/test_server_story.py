"""The whole story of a server: up, a tracked run, down, up, the run is still there, deleted with its data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration import engine
from tests.integration.servers import (
    Shell,
    keys_in,
    listeners,
    s3_store,
    secrets_of,
    where_found,
)
from tests.support.killed_runs import write_config
from tests.support.lm_server import lm_server
from tests.support.ports import free_port

pytestmark = pytest.mark.integration


@dataclass(frozen=True)
class Kind:
    """A kind of server: options of `server up`, and what it needs around it."""

    name: str
    options: tuple[str, ...] = ()
    in_s3: bool = False
    """Artifacts go to an S3 store on this machine."""
    workers: str | None = "1"
    """One starts sooner; None is the default."""

    @property
    def is_compose(self) -> bool:
        """Whether it needs a Docker engine."""
        return "--local" not in self.options


KINDS = (
    Kind("compose", workers=None),
    Kind("compose with logins and an S3 store of its own", ("--auth", "--with-s3")),
    Kind("compose with artifacts in S3", ("--artifacts", "s3://ours/runs"), in_s3=True),
    Kind("local", ("--local",)),
    Kind("local with logins and artifacts in S3", ("--local", "--auth", "--artifacts", "s3://ours/runs"), in_s3=True),
)


@pytest.fixture(
    params=[pytest.param(kind, id=kind.name, marks=[pytest.mark.engine] * kind.is_compose) for kind in KINDS]
)
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each kind of server."""
    found: Kind = request.param
    return found


@pytest.fixture
def shell(tmp_path: Path, kind: Kind) -> Iterator[Shell]:
    """A folder with what a kind of server needs around it; its server is deleted."""
    with ExitStack() as around:
        found = Shell(tmp_path, {"OPENAI_API_KEY": "a-key-for-loopback"})
        if kind.workers:
            found.env["MLFLOW_SERVER_WORKERS"] = kind.workers
        if kind.is_compose:
            found.env |= engine.images()
        if "--with-s3" in kind.options:
            found.env["S3_IMAGE"] = engine.with_s3_image()
        if kind.in_s3:
            host = engine.host_address() if kind.is_compose else "127.0.0.1"
            found.env |= around.enter_context(s3_store(host, "ours"))
        yield found
        if "MLFLOW_SERVER_KIND" in found.written:
            found.ok("down", "--delete-data", "--yes")


def test_a_tracked_run_survives_down_and_up_and_is_gone_after_delete_data(shell: Shell, kind: Kind) -> None:
    port = free_port()
    up = json.loads(shell.ok("up", *kind.options, "--port", str(port), "--json"))
    assert up["healthy"] and up["runs"] == 0
    assert listeners(port) == ["127.0.0.1"]
    with lm_server() as lm:
        write_config(shell.folder, lm, "labeled_few_shot")
        optimized = shell.run("optimize", "config.yaml", "--json")
    assert optimized.code == 0, optimized.err
    late = json.loads(shell.run("runs", "sync", "--json").out)  # what a busy machine did not send in its ten seconds
    [run] = [one["run_id"] for one in late or [json.loads(optimized.out)]]
    best = shell.run("runs", "best", "--json")
    assert best.code == 0 and json.loads(best.out)["run_id"] == run

    assert json.loads(shell.ok("down", "--json")) == {"data": "kept", "notes": []}
    assert listeners(port) == []
    shell.ok("up")
    pulled = shell.run("model", "pull", "best", "-o", "kept")
    assert pulled.code == 0 and (shell.folder / "kept").is_dir(), pulled.err
    _check_passwords(shell, kind)

    deleted = shell.server("down", "--delete-data", "--yes")
    assert deleted.code == 0 and listeners(port) == []
    if kind.in_s3:
        assert "s3://ours/runs" in deleted.err and any(run in key for key in keys_in(shell.env, "ours"))
    if kind.is_compose:
        assert engine.left_of(shell.written["MLFLOW_SERVER_PROJECT"]) == []
    else:
        assert list((shell.folder / ".dspytrack/server").iterdir()) == []
    if not kind.is_compose:  # a compose server has no volume left, and would start empty as the first one did
        shell.ok("up")
        assert shell.run("runs", "best", "--json").code == 1


def _check_passwords(shell: Shell, kind: Kind) -> None:
    """No password can be read anywhere but in the env file."""
    readable = shell.ok("logs")
    if kind.is_compose:
        containers = engine.containers_of(shell.written["MLFLOW_SERVER_PROJECT"])
        readable += engine.docker("inspect", *containers).stdout
        readable += "".join(done.stdout + done.stderr for done in (engine.docker("logs", one) for one in containers))
    assert len(readable) > 1000
    secrets = secrets_of(shell) + ([shell.env["AWS_SECRET_ACCESS_KEY"]] if kind.in_s3 else [])
    for secret in secrets:
        assert secret not in readable and where_found(secret, shell) == []
    assert (shell.folder / ".env.mlflow").stat().st_mode & 0o777 == 0o600
