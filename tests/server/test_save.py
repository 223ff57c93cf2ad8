"""What is written into the env file when a server is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from dspytrack.server.env_file import read_values
from dspytrack.server.save import add_secrets, publish, save
from dspytrack.server.settings import ServerOptions, resolve


@pytest.fixture
def env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An env file that does not exist yet, in an environment without settings."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_SERVER_WITH_S3", "MLFLOW_ARTIFACTS_DESTINATION", "MLFLOW_SERVER_AUTH"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / ".env.mlflow"


def test_saved_settings_are_resolved_again_without_options(env_file: Path) -> None:
    settings = resolve(ServerOptions(env_file, port=5055, auth=True, artifacts="s3://ours/runs"), "local")
    save(settings)
    assert resolve(ServerOptions(env_file), "local") == settings


def test_secrets_are_made_once(env_file: Path) -> None:
    settings = resolve(ServerOptions(env_file, with_s3=True), "compose")
    add_secrets(settings)
    first = read_values(env_file)
    assert {"MLFLOW_DB_PASSWORD", "MLFLOW_AUTH_ADMIN_PASSWORD", "MLFLOW_S3_SECRET_ACCESS_KEY"} <= set(first)
    add_secrets(settings)
    assert read_values(env_file) == first


def test_a_local_server_does_not_use_the_s3_store_of_the_compose_server_before_it(env_file: Path) -> None:
    save(resolve(ServerOptions(env_file, with_s3=True), "compose"))
    between = resolve(ServerOptions(env_file), "local")
    assert between.artifacts is None and not between.with_s3
    save(between)
    after = resolve(ServerOptions(env_file), "compose")
    assert after.with_s3 and after.artifacts == "s3://mlflow/artifacts"


def test_the_keys_of_the_added_s3_store_do_not_reach_another_store(env_file: Path) -> None:
    save(resolve(ServerOptions(env_file, with_s3=True), "compose"))
    save(resolve(ServerOptions(env_file, artifacts="s3://ours/runs"), "compose"))
    assert not {"MLFLOW_S3_ACCESS_KEY_ID", "MLFLOW_S3_SECRET_ACCESS_KEY"} & set(read_values(env_file))


def test_publishing_makes_the_server_the_tracking_server_and_says_what_it_replaced(
    env_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env_file.write_text("MLFLOW_TRACKING_URI=sqlite:///mlflow.db\n")
    settings = resolve(ServerOptions(env_file, port=5055, auth=True), "local")
    save(settings)
    [note] = publish(settings)
    assert "is now a comment there" in note
    written = read_values(env_file)
    assert written["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:5055"
    assert written["MLFLOW_TRACKING_PASSWORD"] == written["MLFLOW_AUTH_ADMIN_PASSWORD"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere")
    [note] = publish(settings)
    assert "the environment, which wins" in note


def test_a_password_that_was_changed_since_the_first_start_is_kept(env_file: Path) -> None:
    settings = resolve(ServerOptions(env_file, auth=True), "local")
    save(settings)
    publish(settings)
    text = env_file.read_text()
    password = read_values(env_file)["MLFLOW_TRACKING_PASSWORD"]
    env_file.write_text(text.replace(f"MLFLOW_TRACKING_PASSWORD={password}", "MLFLOW_TRACKING_PASSWORD=a-newer-one"))
    publish(settings)
    assert read_values(env_file)["MLFLOW_TRACKING_PASSWORD"] == "a-newer-one"
