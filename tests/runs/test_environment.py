"""What a run was made with: versions, the commit, the user's own modules."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from dspytrack.record.checksum import sha256_of
from dspytrack.runs.environment import git_commit, source_checksums, versions


def test_versions_are_those_installed() -> None:
    assert versions() == {
        "dspytrack": version("dspytrack"),
        "dspy": version("dspy"),
        "mlflow": version("mlflow"),
        "python": platform.python_version(),
    }


def test_the_commit_is_that_of_the_folder_and_unknown_outside_a_checkout(tmp_path: Path) -> None:
    assert git_commit(tmp_path) is None
    assert git_commit(tmp_path / "missing") is None
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    for arguments in (["init", "-q"], [*identity, "commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True)
    commit = git_commit(tmp_path)
    assert commit is not None and len(commit) == 40


def test_sources_are_the_modules_imported_from_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("of_a_test_imported", "of_a_test_not_imported"):
        (tmp_path / f"{name}.py").write_text("X = 1\n")
    __import__("of_a_test_imported")
    try:
        found = source_checksums(tmp_path)
    finally:
        del sys.modules["of_a_test_imported"]
    assert found == {"of_a_test_imported.py": sha256_of(tmp_path / "of_a_test_imported.py")}
