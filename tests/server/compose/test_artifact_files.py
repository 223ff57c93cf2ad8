"""Whether a server would find the artifacts of a backup is checked before anything is replaced."""

from __future__ import annotations

from pathlib import Path

import pytest

from dspytrack.errors import UsageError
from dspytrack.server.compose.artifact_files import artifact_volume, check_match
from dspytrack.server.settings import ServerOptions, resolve

PACKED = "artifacts.tar"
OURS = "s3://ours/runs"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own settings do not decide where artifacts are."""
    for name in ("MLFLOW_ARTIFACTS_DESTINATION", "MLFLOW_ARTIFACT_LOCATION", "MLFLOW_SERVER_WITH_S3"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("options", "saved_in", "packed"),
    [({}, PACKED, True), ({"with_s3": True}, PACKED, True), ({"artifacts": OURS}, OURS, False)],
)
def test_a_backup_is_accepted_where_its_artifacts_will_be_found(
    tmp_path: Path, options: dict[str, str | bool], saved_in: str, packed: bool
) -> None:
    settings = resolve(ServerOptions(env_file=tmp_path / ".env.mlflow", **options), "compose")  # type: ignore[arg-type]
    check_match(settings, saved_in, packed)
    assert (artifact_volume(settings) is not None) == packed


@pytest.mark.parametrize(
    ("options", "saved_in", "packed", "fix"),
    [
        ({"artifacts": OURS}, PACKED, True, "without --artifacts"),
        ({}, OURS, False, f"up --artifacts {OURS}"),
        ({"artifacts": "s3://theirs/runs"}, OURS, False, f"up --artifacts {OURS}"),
    ],
)
def test_a_backup_whose_artifacts_would_be_lost_is_rejected_with_what_to_do(
    tmp_path: Path, options: dict[str, str], saved_in: str, packed: bool, fix: str
) -> None:
    settings = resolve(ServerOptions(env_file=tmp_path / ".env.mlflow", **options), "compose")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=fix):
        check_match(settings, saved_in, packed)
