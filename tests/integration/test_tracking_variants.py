"""The tracking core against each kind of place that runs may go to: one record, sent, found, pulled, sent again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.integration import engine
from tests.integration.commands import command, entered, write_settings
from tests.integration.servers import keys_in, s3_client, s3_store
from tests.support.killed_runs import ended, start, write_config
from tests.support.lm_server import lm_server
from tests.support.ports import free_port
from tests.support.tracking_server import TrackingServer, gate, self_signed, tracking_server

pytestmark = pytest.mark.integration

PASSWORD = "a-password-of-the-tests"
TOKEN = "a-token-of-the-tests"


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The record of one run, to be tracked."""
    with lm_server() as lm:
        config = write_config(tmp_path_factory.mktemp("run"), lm, "labeled_few_shot")
        out, err = ended(start(config))
    assert out, err
    found = config.parent / json.loads(out)["record"]
    info = json.loads((found / "run.json").read_text())
    (found / "run.json").write_text(json.dumps(info | {"tracked": True}))
    return found


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrackingServer]:
    """A server without logins."""
    with tracking_server(tmp_path_factory.mktemp("plain")) as found:
        yield found


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrackingServer]:
    """A server with MLflow's own logins."""
    with tracking_server(tmp_path_factory.mktemp("guarded"), PASSWORD) as found:
        yield found


@dataclass
class Place:
    """A folder with a record in it, and the `.env.mlflow` that says where runs go."""

    folder: Path
    settings: dict[str, str]
    secrets: list[str] = field(default_factory=list)

    def write(self) -> None:
        """Write the env file."""
        write_settings(self.folder, **self.settings)


@pytest.fixture
def folder(tmp_path: Path, record: Path) -> Iterator[Path]:
    """A folder with a copy of the record, entered, in an environment without settings."""
    shutil.copytree(record, tmp_path / ".dspytrack/runs" / record.name)
    with entered(tmp_path) as found:
        yield found


@pytest.fixture
def around() -> Iterator[ExitStack]:
    """What a place needs around it, ended with the test."""
    with ExitStack() as found:
        yield found


def _remote(server: TrackingServer, folder: Path) -> dict[str, str]:
    return {"MLFLOW_TRACKING_URI": server.address, "MLFLOW_EXPERIMENT_NAME": folder.name}


def unsend(folder: Path) -> None:
    """Make the record one that was never sent."""
    shutil.rmtree(folder / "model", ignore_errors=True)
    for sent in folder.glob(".dspytrack/runs/*/tracking.json"):
        sent.unlink()


def the_record_arrives_once(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Send, send again, find, pull: what every place must do, without a secret on the way."""
    place.write()
    printed = []
    for _ in range(2):
        printed.append(command(capsys, "runs", "sync", "--json"))
    [sent], again = (json.loads(done.out) for done in printed)
    assert again == []
    printed.append(command(capsys, "runs", "sync", sent["record"], "--json"))
    assert json.loads(printed[-1].out) == [sent]
    printed.append(command(capsys, "runs", "search", "--json"))
    [run] = json.loads(printed[-1].out)
    assert run["run_id"] == sent["run_id"] and run["status"] == "FINISHED"
    assert run["tags"]["verdict"] == "better" and run["metrics"]["improvement_percentage"] > 0
    printed.append(command(capsys, "model", "pull", "best", "-o", "model"))
    assert (place.folder / "model/optimized_model.json").is_file()
    for secret in place.secrets:
        assert not [done for done in printed if secret in done.out + done.err]
        assert not [file for file in place.folder.rglob("*.json") if secret in file.read_text()]


def test_a_remote_server(folder: Path, plain: TrackingServer, capsys: pytest.CaptureFixture[str]) -> None:
    the_record_arrives_once(Place(folder, _remote(plain, folder)), capsys)


def test_a_server_with_logins(folder: Path, guarded: TrackingServer, capsys: pytest.CaptureFixture[str]) -> None:
    login = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": PASSWORD}
    the_record_arrives_once(Place(folder, _remote(guarded, folder) | login, [PASSWORD]), capsys)


def test_a_server_behind_a_bearer_token(
    folder: Path, plain: TrackingServer, around: ExitStack, capsys: pytest.CaptureFixture[str]
) -> None:
    front = around.enter_context(gate(plain, token=TOKEN))
    settings = _remote(plain, folder) | {"MLFLOW_TRACKING_URI": front.address, "MLFLOW_TRACKING_TOKEN": TOKEN}
    the_record_arrives_once(Place(folder, settings, [TOKEN]), capsys)


def test_a_server_with_a_certificate_of_its_own(
    folder: Path, plain: TrackingServer, around: ExitStack, capsys: pytest.CaptureFixture[str]
) -> None:
    front = around.enter_context(gate(plain, certificate=self_signed(folder)))
    settings = _remote(plain, folder) | {"MLFLOW_TRACKING_URI": front.address}
    Place(folder, settings).write()
    refused = command(capsys, "runs", "search", code=6)
    assert "certificate" in refused.err and "MLFLOW_TRACKING_SERVER_CERT_PATH" in refused.err
    the_record_arrives_once(Place(folder, settings | {"MLFLOW_TRACKING_SERVER_CERT_PATH": "server.pem"}), capsys)


def test_a_server_under_a_path(
    folder: Path, plain: TrackingServer, around: ExitStack, capsys: pytest.CaptureFixture[str]
) -> None:
    front = around.enter_context(gate(plain, prefix="/team/mlflow"))
    settings = _remote(plain, folder) | {"MLFLOW_TRACKING_URI": front.address.removesuffix("/mlflow")}
    Place(folder, settings).write()
    wrong = command(capsys, "runs", "search", code=6)
    assert "no MLflow server at this address" in wrong.err
    for address in (front.address, f"{front.address}/"):
        experiment = {"MLFLOW_EXPERIMENT_NAME": f"{folder.name}-{len(address)}", "MLFLOW_TRACKING_URI": address}
        unsend(folder)
        the_record_arrives_once(Place(folder, settings | experiment), capsys)


def test_artifacts_that_the_client_itself_puts_into_s3(
    folder: Path, plain: TrackingServer, around: ExitStack, capsys: pytest.CaptureFixture[str]
) -> None:
    store = around.enter_context(s3_store("127.0.0.1", "ours"))
    settings = _remote(plain, folder) | store | {"MLFLOW_ARTIFACT_LOCATION": "s3://ours/runs"}
    the_record_arrives_once(Place(folder, settings, [store["AWS_SECRET_ACCESS_KEY"]]), capsys)
    assert any(key.endswith("models/optimized_model.json") for key in keys_in(store, "ours"))


def test_a_bucket_that_is_not_there_is_named_and_the_record_arrives_later(
    folder: Path, plain: TrackingServer, around: ExitStack, capsys: pytest.CaptureFixture[str]
) -> None:
    store = around.enter_context(s3_store("127.0.0.1", "ours"))
    settings = _remote(plain, folder) | store
    Place(folder, settings | {"MLFLOW_ARTIFACT_LOCATION": "s3://theirs/runs"}).write()
    failed = command(capsys, "runs", "sync", code=6)
    assert "NoSuchBucket" in failed.err or "does not exist" in failed.err
    s3_client(store).create_bucket(Bucket="theirs")
    the_record_arrives_once(Place(folder, settings), capsys)


def test_a_registry_of_its_own(folder: Path, plain: TrackingServer, capsys: pytest.CaptureFixture[str]) -> None:
    registry = {"MLFLOW_TRACKING_URI": "sqlite:///runs.db", "MLFLOW_REGISTRY_URI": plain.address}
    the_record_arrives_once(Place(folder, _remote(plain, folder) | registry), capsys)
    assert (folder / "runs.db").is_file()


@pytest.mark.engine
def test_postgresql_without_a_server(folder: Path, around: ExitStack, capsys: pytest.CaptureFixture[str]) -> None:
    address = around.enter_context(engine.postgres(PASSWORD))
    for number, scheme in enumerate(("postgresql", "postgresql+psycopg2")):
        settings = {
            "MLFLOW_TRACKING_URI": f"{scheme}://{address}",
            "MLFLOW_ARTIFACT_LOCATION": str(folder / "artifacts"),
            "MLFLOW_EXPERIMENT_NAME": f"experiment-{number}",
        }
        unsend(folder)
        the_record_arrives_once(Place(folder, settings, [PASSWORD]), capsys)


def test_a_postgresql_that_does_not_answer_is_one_sentence_at_once(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = f"postgresql://me:{PASSWORD}@127.0.0.1:{free_port()}/mlflow"
    Place(folder, {"MLFLOW_TRACKING_URI": uri}).write()
    done = command(capsys, "runs", "search", code=6)
    assert "refused" in done.err and PASSWORD not in done.err
    assert done.seconds < 30  # MLflow by itself tries for a minute


@pytest.mark.parametrize("login", ["none", "wrong", "half", "token"])
def test_a_login_that_is_refused_says_what_to_set(
    login: str,
    folder: Path,
    plain: TrackingServer,
    guarded: TrackingServer,
    around: ExitStack,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = {
        "none": {},
        "wrong": {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": "not-the-password"},
        "half": {"MLFLOW_TRACKING_USERNAME": "admin"},
        "token": {"MLFLOW_TRACKING_TOKEN": "not-the-token"},
    }[login]
    if login == "token":
        given["MLFLOW_TRACKING_URI"] = around.enter_context(gate(plain, token=TOKEN)).address
    Place(folder, _remote(guarded, folder) | given).write()
    for arguments in (("runs", "sync"), ("runs", "search"), ("model", "pull", "best", "-o", "model")):
        done = command(capsys, *arguments, code=6)
        assert done.err.count("\n") == 1 and "(401)" in done.err
        assert "MLFLOW_TRACKING_PASSWORD" in done.err and ".env.mlflow" in done.err
        assert "not-the-" not in done.err
