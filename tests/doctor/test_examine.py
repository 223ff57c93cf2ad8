"""How checks are run: one that breaks or hangs is a failed check, and what depends on it is skipped."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dspytrack.doctor.check import Check, failed, passed
from dspytrack.doctor.examine import CHECKS, CheckGroup, examine
from dspytrack.doctor.folder_settings import FolderSettings
from dspytrack.errors import UnreachableError


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FolderSettings:
    """The settings of a folder with a secret in its env file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # so that both are taken back
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "4")
    env_file = tmp_path / "settings.env"
    env_file.write_text("MLFLOW_TRACKING_URI=sqlite:///mlflow.db\nA_PASSWORD=a-long-password\n")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    monkeypatch.setenv("A_PASSWORD", "of-the-environment")
    return FolderSettings.read(env_file)


def good(here: FolderSettings) -> Iterator[Check]:
    yield passed("good", f"{here.env_file.name} is there")


def unreachable(here: FolderSettings) -> Iterator[Check]:
    yield passed("first half", "done")
    raise UnreachableError("a-long-password was refused", "type a-long-password again")


def broken(here: FolderSettings) -> Iterator[Check]:
    yield from [passed("part", str(1 // 0))]


def hanging(here: FolderSettings) -> Iterator[Check]:
    time.sleep(60)
    yield passed("hanging", "too late")


def test_what_needs_a_failed_check_is_skipped_with_the_first_cause(here: FolderSettings) -> None:
    groups = [
        CheckGroup("login", lambda _: [failed("login", "wrong", "correct it")]),
        CheckGroup("experiment", good, ("login",)),
        CheckGroup("artifacts", good, ("experiment",)),
        CheckGroup("good", good),
    ]
    checks = {check.name: check for check in examine(here, groups)}
    assert [check.status for check in checks.values()] == ["fail", "skipped", "skipped", "pass"]
    assert checks["artifacts"].detail == "cannot be checked while `login` fails"


def test_an_error_is_a_failed_check_with_the_errors_own_fix_and_secrets_masked(here: FolderSettings) -> None:
    first, second = examine(here, [CheckGroup("unreachable", unreachable)])
    assert first.status == "pass"
    assert second == Check("unreachable", "fail", "*** was refused", "type *** again")


def test_a_check_that_breaks_fails_and_the_others_still_run(here: FolderSettings) -> None:
    first, second = examine(here, [CheckGroup("broken", broken), CheckGroup("good", good)])
    assert first.status == "fail" and "ZeroDivisionError" in first.detail and "bug" in (first.fix or "")
    assert second.status == "pass"


def test_a_check_that_hangs_is_given_up_on(here: FolderSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dspytrack.doctor.examine._SECONDS", 0.2)
    [check] = examine(here, [CheckGroup("hanging", hanging)])
    assert check.status == "fail" and check.detail == "no answer within 0 s"


def test_every_need_is_a_check_that_ran_before() -> None:
    for index, group in enumerate(CHECKS):
        assert set(group.needs) <= {earlier.name for earlier in CHECKS[:index]}
