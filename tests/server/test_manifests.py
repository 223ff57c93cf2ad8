"""`server manifests`: files of several kinds into one folder, and the command that uses them."""

from __future__ import annotations

from pathlib import Path

import pytest

from dspytrack.errors import UsageError
from dspytrack.server.env_file import read_values
from dspytrack.server.manifests import write_manifests


def test_every_kind_is_written_and_the_last_one_decides_what_to_type(tmp_path: Path) -> None:
    written = write_manifests(["compose", "kubernetes", "helm-values"], tmp_path)
    names = {file.name for file in written.files}
    assert {"docker-compose.mlflow.yml", ".env.mlflow", "kustomization.yaml", "helm-values.yaml"} <= names
    assert written.next_command == f"helm upgrade --install mlflow CHART -f {tmp_path / 'helm-values.yaml'}"
    compose = write_manifests(["compose"], tmp_path)
    assert compose.next_command == f"docker compose -f {tmp_path / 'docker-compose.mlflow.yml'} up -d"


def test_at_least_one_kind_has_to_be_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--compose, --kubernetes, --helm-values"):
        write_manifests([], tmp_path)


def test_the_compose_file_names_the_project_of_its_env_file(tmp_path: Path) -> None:
    write_manifests(["compose"], tmp_path)
    project = read_values(tmp_path / ".env.mlflow")["MLFLOW_SERVER_PROJECT"]
    assert f"MLFLOW_SERVER_PROJECT:-{project}}}" in (tmp_path / "docker-compose.mlflow.yml").read_text()


def test_an_edited_compose_file_is_kept_and_nothing_is_written_beside_it(tmp_path: Path) -> None:
    edited = tmp_path / "docker-compose.mlflow.services.yml"
    edited.write_text("mine")
    with pytest.raises(UsageError, match="is there with another content"):
        write_manifests(["compose"], tmp_path)
    assert list(tmp_path.iterdir()) == [edited] and edited.read_text() == "mine"
