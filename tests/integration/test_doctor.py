"""`dspytrack doctor` against real faults: each is reported, and the fix it prints does fix it."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import mlflow
import pytest
from mlflow.entities import ViewType
from mlflow.server import get_app_client

from tests.integration.checks import Capture, by_name, doctor, failures
from tests.integration.commands import command, entered, write_settings
from tests.integration.servers import s3_store
from tests.support.killed_runs import write_config
from tests.support.lm_server import lm_server
from tests.support.ports import free_port
from tests.support.tracking_server import TrackingServer, gate, self_signed, tracking_server

pytestmark = pytest.mark.integration

PASSWORD = "a-password-of-the-tests"
LOGIN = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": PASSWORD}
SECONDS = 30  # on a busy machine; what waits for a server that hangs takes a minute


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrackingServer]:
    """A server with MLflow's own logins."""
    with tracking_server(tmp_path_factory.mktemp("guarded"), PASSWORD) as found:
        yield found


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder to type commands in."""
    with entered(tmp_path) as found:
        yield found


@pytest.fixture
def around() -> Iterator[ExitStack]:
    """What a test needs around it, removed after the test."""
    with ExitStack() as found:
        yield found


def test_without_a_server_all_checks_pass_and_nothing_is_left(folder: Path, capsys: Capture) -> None:
    place = str(folder / "artifacts")
    write_settings(folder, MLFLOW_TRACKING_URI="sqlite:///mlflow.db", MLFLOW_ARTIFACT_LOCATION=place)
    first = doctor(capsys)
    assert "the first run makes it" in first["reachable"]["detail"]
    assert [file.name for file in folder.iterdir()] == [".env.mlflow"]
    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    client.create_experiment("dspy-optimization", place)
    second = doctor(capsys)
    assert failures(second) == []
    assert second["artifacts"]["status"] == second["experiment"]["status"] == "pass"
    assert second["MLFLOW_TRACKING_URI"]["detail"] == "sqlite:///mlflow.db (.env.mlflow)"
    assert [one.name for one in client.search_experiments(ViewType.ALL)] == ["dspy-optimization", "Default"]
    assert not (folder / "artifacts").exists()


def test_a_healthy_server_passes_and_nothing_is_left_on_it(
    folder: Path, server: TrackingServer, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_settings(folder, MLFLOW_TRACKING_URI=server.address, **LOGIN)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "theirs")
    checks = doctor(capsys)
    assert checks["server's version"]["detail"] == f"MLflow {mlflow.__version__}, client {mlflow.__version__}"
    assert checks["MLFLOW_EXPERIMENT_NAME"]["detail"] == "theirs (environment)"
    assert "through the server" in checks["artifacts"]["detail"]
    printed = command(capsys, "doctor")
    assert max(len(line) for line in printed.out.splitlines()) <= 80
    assert PASSWORD not in printed.out and "***" in printed.out
    client = mlflow.MlflowClient(server.address)
    assert [one.name for one in client.search_experiments()] == ["Default"]
    [own] = client.search_experiments(ViewType.DELETED_ONLY)
    assert len(client.search_runs([own.experiment_id], run_view_type=ViewType.ALL)) == 1
    assert [file for file in (server.folder / "artifacts").rglob("*") if file.is_file()] == []


def test_a_wrong_password_is_reported_and_its_fix_works(folder: Path, server: TrackingServer, capsys: Capture) -> None:
    write_settings(folder, MLFLOW_TRACKING_URI=server.address)
    none = doctor(capsys, code=6)
    assert failures(none) == ["login"] and "wants a login (401)" in none["login"]["detail"]
    wrong = LOGIN | {"MLFLOW_TRACKING_PASSWORD": "not-the-password"}
    write_settings(folder, MLFLOW_TRACKING_URI=server.address, **wrong)
    printed = command(capsys, "doctor", "--json", code=6)
    checks = by_name(printed)
    assert failures(checks) == ["login"] and "refuses the login (401)" in checks["login"]["detail"]
    assert "MLFLOW_TRACKING_PASSWORD" in checks["login"]["fix"] and ".env.mlflow" in checks["login"]["fix"]
    assert "not-the-password" not in printed.out
    os.environ.pop("MLFLOW_TRACKING_PASSWORD")  # this process stands for three, and loading the file set it
    write_settings(folder, MLFLOW_TRACKING_URI=server.address, **LOGIN)
    os.environ["MLFLOW_TRACKING_PASSWORD"] = "hidden-by-this-one"
    hidden = doctor(capsys, code=6)
    assert hidden["login"]["fix"].startswith("unset MLFLOW_TRACKING_PASSWORD")
    del os.environ["MLFLOW_TRACKING_PASSWORD"]
    assert failures(doctor(capsys)) == []


def test_a_login_that_may_only_read_is_reported_as_such(folder: Path, server: TrackingServer, capsys: Capture) -> None:
    with mock.patch.dict(os.environ, LOGIN):
        ident = mlflow.MlflowClient(server.address).create_experiment("ours")
        admin = get_app_client("basic-auth", tracking_uri=server.address)
        admin.create_user("reader", "a-password-to-read")
    reader = {"MLFLOW_TRACKING_USERNAME": "reader", "MLFLOW_TRACKING_PASSWORD": "a-password-to-read"}
    write_settings(folder, MLFLOW_TRACKING_URI=server.address, MLFLOW_EXPERIMENT_NAME="ours", **reader)
    checks = doctor(capsys, code=6)
    assert failures(checks) == ["experiment"]
    assert "(403)" in checks["experiment"]["detail"] and "EDIT on the experiment ours" in checks["experiment"]["fix"]
    with mock.patch.dict(os.environ, LOGIN):
        admin.grant_user_permission("reader", "experiment", ident, "EDIT")
    assert "may not delete it" in doctor(capsys)["experiment"]["detail"]
    assert failures(doctor(capsys)) == []
    with mock.patch.dict(os.environ, LOGIN):
        admin.revoke_user_permission("reader", "experiment", ident)
        admin.grant_user_permission("reader", "experiment", ident, "MANAGE")
        assert len(mlflow.MlflowClient(server.address).search_runs([ident])) == 1
    assert failures(doctor(capsys)) == []
    assert mlflow.MlflowClient(server.address).search_runs([ident]) == []


def test_an_old_server_is_reported_and_a_new_one_passes(
    folder: Path, server: TrackingServer, around: ExitStack, capsys: Capture
) -> None:
    front = around.enter_context(gate(server))
    front.version = "2.9.2"
    write_settings(folder, MLFLOW_TRACKING_URI=front.address, **LOGIN)
    checks = doctor(capsys, code=6)
    assert failures(checks) == ["server's version"] and "MLflow 2.9.2" in checks["server's version"]["detail"]
    assert f"upgrade it to MLflow {mlflow.__version__}" in checks["server's version"]["fix"]
    front.version = None
    assert failures(doctor(capsys)) == []


def test_a_certificate_a_prefix_and_a_clock_are_reported_apart(
    folder: Path, server: TrackingServer, around: ExitStack, capsys: Capture
) -> None:
    secure = around.enter_context(gate(server, certificate=self_signed(folder)))
    write_settings(folder, MLFLOW_TRACKING_URI=secure.address, **LOGIN)
    unknown = doctor(capsys, code=6)
    assert failures(unknown) == ["reachable"]
    assert "MLFLOW_TRACKING_SERVER_CERT_PATH" in unknown["reachable"]["fix"]
    write_settings(folder, MLFLOW_TRACKING_URI=secure.address, MLFLOW_TRACKING_SERVER_CERT_PATH="server.pem", **LOGIN)
    assert failures(doctor(capsys)) == []
    below = around.enter_context(gate(server, prefix="/team/mlflow"))
    write_settings(folder, MLFLOW_TRACKING_URI=below.address.removesuffix("/mlflow"), **LOGIN)
    assert "not MLflow" in doctor(capsys, code=6)["reachable"]["detail"]
    write_settings(folder, MLFLOW_TRACKING_URI=below.address, **LOGIN)
    below.clock = 3600
    skewed = doctor(capsys, code=6)
    assert failures(skewed) == ["clock"] and "behind the server" in skewed["clock"]["detail"]


def test_a_host_that_hangs_or_is_dead_takes_only_seconds(
    folder: Path, server: TrackingServer, around: ExitStack, capsys: Capture
) -> None:
    silent = around.enter_context(gate(server))
    silent.fault = "hang"
    write_settings(folder, MLFLOW_TRACKING_URI=silent.address, MLFLOW_REGISTRY_URI=f"http://127.0.0.1:{free_port()}")
    printed = command(capsys, "doctor", "--json", code=6)
    assert failures(by_name(printed)) == ["reachable", "registry"]
    assert printed.seconds < SECONDS
    gone = f"postgresql://me:{PASSWORD}@127.0.0.1:{free_port()}/mlflow"
    write_settings(folder, MLFLOW_TRACKING_URI=gone)
    printed = command(capsys, "doctor", "--json", code=6)
    assert failures(by_name(printed)) == ["reachable"] and printed.seconds < SECONDS
    assert PASSWORD not in printed.out and "refused" in by_name(printed)["reachable"]["detail"]


def test_artifacts_in_s3_are_written_to_the_bucket_itself(
    folder: Path, server: TrackingServer, around: ExitStack, capsys: Capture
) -> None:
    store = around.enter_context(s3_store("127.0.0.1", "ours"))
    at = {"MLFLOW_TRACKING_URI": server.address} | LOGIN
    write_settings(folder, **at, **store, MLFLOW_ARTIFACT_LOCATION="s3://ours/runs")
    printed = command(capsys, "doctor", "--json")
    assert "s3://ours/runs" in by_name(printed)["artifacts"]["detail"]
    assert store["AWS_SECRET_ACCESS_KEY"] not in printed.out
    write_settings(folder, **at, **store, MLFLOW_ARTIFACT_LOCATION="s3://theirs/runs")
    missing = doctor(capsys, code=6)
    assert failures(missing) == ["artifacts"] and "bucket" in missing["artifacts"]["detail"]
    os.environ["MLFLOW_S3_ENDPOINT_URL"] = f"http://127.0.0.1:{free_port()}"
    gone = doctor(capsys, code=6)
    assert failures(gone) == ["artifacts"] and "MLFLOW_S3_ENDPOINT_URL" in gone["artifacts"]["fix"]


def test_the_language_models_of_a_config_file_are_called_once_each(folder: Path, capsys: Capture) -> None:
    write_settings(folder, MLFLOW_TRACKING_URI="sqlite:///mlflow.db")
    with lm_server() as lm:
        same = {"model": "openai/gpt-4o-mini", "api_base": lm.api_base, "num_retries": 1, "timeout": 10}
        teacher = same | {"model": "openai/gpt-4o"}
        config = str(write_config(folder, lm, "labeled_few_shot", prompt_lm=same, teacher_lm=teacher))
        unset = doctor(capsys, "--lm", config, code=6)
        assert failures(unset) == ["LM: lm, prompt_lm", "LM: teacher_lm"] and lm.billed == 0
        assert unset["LM: teacher_lm"]["fix"] == "export OPENAI_API_KEY=…"
        os.environ["OPENAI_API_KEY"] = "a-key-for-loopback"
        assert "one real call" in doctor(capsys, "--lm", config)["LM: lm, prompt_lm"]["detail"]
        assert lm.billed == 2
        lm.faults, lm.fault_message = [401], "the key a-key-for-loopback is not liked"
        refused = doctor(capsys, "--lm", config, code=6)
        lm.api_base = f"http://127.0.0.1:{free_port()}/v1"
        write_config(folder, lm, "labeled_few_shot", teacher_lm=teacher | {"api_base": lm.api_base})
    assert "OPENAI_API_KEY" in refused["LM: lm, prompt_lm"]["fix"]
    assert "the key *** is not liked" in refused["LM: lm, prompt_lm"]["detail"]
    gone = command(capsys, "doctor", "--json", "--lm", config, code=6)
    assert len(failures(by_name(gone))) == 2 and gone.seconds < SECONDS


def test_secrets_that_others_can_read_are_reported_and_the_fix_works(folder: Path, capsys: Capture) -> None:
    write_settings(folder, MLFLOW_TRACKING_URI="sqlite:///mlflow.db", MLFLOW_TRACKING_TOKEN="a-token-of-ours")
    (folder / ".env.mlflow").chmod(0o644)
    checks = doctor(capsys, code=6)
    assert failures(checks) == ["env file's mode"]
    assert checks["env file"]["detail"] == ".env.mlflow, 2 values"
    subprocess.run(shlex.split(checks["env file's mode"]["fix"]), check=True)
    assert failures(doctor(capsys)) == []


def test_a_mistake_in_the_command_is_a_usage_error_and_not_a_failed_check(folder: Path, capsys: Capture) -> None:
    command(capsys, "doctor", "--env-file", "no.env", code=2)
    command(capsys, "doctor", "--lm", "no.yaml", code=2)
    write_settings(folder, MLFLOW_TRACKING_URI="htp:/nowhere")
    checks = doctor(capsys, code=6)
    assert checks["env file"]["detail"] == ".env.mlflow, 1 value"
    assert failures(checks) == ["address"] and ".env.mlflow" in checks["address"]["fix"]
