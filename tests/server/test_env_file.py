"""`.env.mlflow` is changed without losing what a person wrote, in one step, for its owner alone."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from dotenv import dotenv_values

from dspytrack.errors import UsageError
from dspytrack.server.env_file import add_missing, effective_value, new_secret, read_values, set_values


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    """A file as people write them: comments, blank lines, quotes, `export`, something that is no assignment."""
    file = tmp_path / ".env.mlflow"
    file.write_text("# ours\n\nURI=old # why\nexport KEY='a b'\n\nTEXT='two\nURI=lines'\nEMPTY=\n?? what\nLAST=1")
    file.chmod(0o644)
    return file


def test_what_is_not_set_stays_as_it_was_and_an_old_value_stays_as_a_comment(env_file: Path) -> None:
    assert set_values(env_file, {"URI": "http://127.0.0.1:5000", "NEW": "1", "LAST": "1"}) == ["URI"]
    assert env_file.read_text() == (
        "# ours\n\n# URI=old # why\nURI=http://127.0.0.1:5000\nexport KEY='a b'\n\n"
        "TEXT='two\nURI=lines'\nEMPTY=\n?? what\nLAST=1\nNEW=1\n"
    )


def test_a_value_of_several_lines_becomes_a_comment_of_several_lines(env_file: Path) -> None:
    set_values(env_file, {"TEXT": "one"})
    assert "\n# TEXT='two\n# URI=lines'\nTEXT=one\n" in env_file.read_text()
    assert read_values(env_file)["URI"] == "old"


def test_setting_what_is_there_changes_nothing(env_file: Path) -> None:
    before = env_file.read_bytes()
    assert set_values(env_file, {"URI": "old", "KEY": "a b"}) == []
    assert env_file.read_bytes() == before


def test_only_what_is_missing_or_empty_is_added_and_a_secret_is_made_only_then(env_file: Path) -> None:
    def fail() -> str:
        raise AssertionError("made for nothing")

    assert add_missing(env_file, {"URI": fail, "EMPTY": "filled", "SECRET": new_secret}) == ["EMPTY", "SECRET"]
    text = env_file.read_text()
    assert "\nEMPTY=filled\n" in text and "# EMPTY" not in text
    assert len(read_values(env_file)["SECRET"]) >= 32


def test_every_write_leaves_the_file_to_its_owner_alone_and_nothing_beside_it(env_file: Path) -> None:
    add_missing(env_file, {"URI": "there already"})
    assert env_file.stat().st_mode & 0o777 == 0o600
    made = env_file.with_name("folder") / "made.env"
    set_values(made, {"A": "1"})
    assert made.stat().st_mode & 0o777 == 0o600 and made.read_text() == "A=1\n"
    assert list(made.parent.iterdir()) == [made]


def test_a_reader_sees_the_old_file_or_the_new_one(env_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = env_file.read_bytes()
    seen: list[bytes] = []
    replace = Path.replace

    def watched(scratch: Path, target: Path) -> Path:
        seen.append(env_file.read_bytes())
        return replace(scratch, target)

    monkeypatch.setattr(Path, "replace", watched)
    set_values(env_file, {"URI": "new", "KEY": "new", "MORE": "new"})
    assert seen == [before]
    assert {name: read_values(env_file)[name] for name in ("URI", "KEY", "MORE")} == dict.fromkeys(
        ("URI", "KEY", "MORE"), "new"
    )


def test_a_link_to_the_file_stays_a_link(env_file: Path) -> None:
    link = env_file.with_name("link")
    link.symlink_to(env_file)
    set_values(link, {"URI": "new"})
    assert link.is_symlink() and read_values(env_file)["URI"] == "new"


@pytest.mark.parametrize("value", ["a b", "p$w#d", 'say "x"', "back\\slash", "s3://b/p?x=1&y=[2]", "*,10.*", ""])
def test_a_value_reads_the_same_in_dotenv_and_in_a_shell(tmp_path: Path, value: str) -> None:
    file = tmp_path / ".env"
    set_values(file, {"NAME": value})
    assert dotenv_values(file)["NAME"] == value
    script = f'set -a; . "{file}"; printf %s "$NAME"'
    assert subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout == value


@pytest.mark.parametrize("value", ["two\nlines", "it's"])
def test_a_value_that_readers_would_disagree_on_is_rejected_and_nothing_is_written(env_file: Path, value: str) -> None:
    before = env_file.read_bytes()
    with pytest.raises(UsageError, match="NAME: a value with a line break or a single quote"):
        set_values(env_file, {"URI": "new", "NAME": value})
    assert env_file.read_bytes() == before and list(env_file.parent.iterdir()) == [env_file]


def test_a_file_that_cannot_be_written_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        set_values(tmp_path / "taken" / ".env.mlflow", {"A": "1"})


def test_the_environment_wins_over_the_file(env_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("URI", raising=False)
    assert effective_value(env_file, "URI") == "old"
    monkeypatch.setenv("URI", "of the environment")
    assert effective_value(env_file, "URI") == "of the environment"
    assert effective_value(env_file, "EMPTY") is None and effective_value(env_file.with_name("no"), "A") is None
