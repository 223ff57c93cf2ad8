"""Would a server find the artifacts of a backup: said before anything is replaced."""

from __future__ import annotations

from pathlib import Path

import pytest

from dspytrack.errors import UsageError
from dspytrack.server.compose.artifact_files import check_match, place
from dspytrack.server.settings import Wish, keep, resolve

PACKED = "artifacts.tar"
OURS = "s3://ours/runs"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine's own decides where artifacts are."""
    for name in ("MLFLOW_ARTIFACTS_DESTINATION", "MLFLOW_ARTIFACT_LOCATION", "MLFLOW_SERVER_WITH_S3"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("wish", "saved_in", "packed"),
    [({}, PACKED, True), ({"with_s3": True}, PACKED, True), ({"artifacts": OURS}, OURS, False)],
)
def test_a_backup_goes_where_its_artifacts_will_be_found(
    tmp_path: Path, wish: dict[str, str | bool], saved_in: str, packed: bool
) -> None:
    settings = resolve(Wish(env_file=tmp_path / ".env.mlflow", **wish), "compose")  # type: ignore[arg-type]
    check_match(settings, saved_in, packed)
    assert (place(settings) is not None) == packed


@pytest.mark.parametrize(
    ("wish", "saved_in", "packed", "mend"),
    [
        ({"artifacts": OURS}, PACKED, True, "without --artifacts"),
        ({}, OURS, False, f"up --artifacts {OURS}"),
        ({"artifacts": "s3://theirs/runs"}, OURS, False, f"up --artifacts {OURS}"),
    ],
)
def test_a_backup_whose_artifacts_would_be_lost_is_refused_with_the_way_on(
    tmp_path: Path, wish: dict[str, str], saved_in: str, packed: bool, mend: str
) -> None:
    settings = resolve(Wish(env_file=tmp_path / ".env.mlflow", **wish), "compose")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=mend):
        check_match(settings, saved_in, packed)


def test_a_local_server_in_between_takes_nothing_from_a_store_that_docker_runs(tmp_path: Path) -> None:
    env_file = tmp_path / ".env.mlflow"
    keep(resolve(Wish(env_file=env_file, with_s3=True), "compose"))
    between = resolve(Wish(env_file=env_file), "local")
    assert between.artifacts is None and not between.with_s3
    keep(between)
    after = resolve(Wish(env_file=env_file), "compose")
    assert after.with_s3 and after.artifacts == "s3://mlflow/artifacts"
