"""No secret in what a run leaves or prints, even where the provider repeats it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dspytrack.masking import has_password, is_secret, keep_secret, looks_secret, masked
from dspytrack.pipeline import OptimizationPipeline
from tests.lm_server import lm_server
from tests.runs import request, rows

KEY = "a-key-that-nobody-may-read"


def test_secrets_of_the_environment_and_of_addresses_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", KEY)
    keep_secret("told-by-name")
    text = f"key {KEY}, told-by-name, postgresql://me:pass@host/db, {'env-file-secret'}"
    assert masked(text, ["env-file-secret"]) == "key ***, ***, postgresql://me:***@host/db, ***"
    assert masked("plain: a text, http://host:80/x@y") == "plain: a text, http://host:80/x@y"


PRINTABLE = st.characters(min_codepoint=33, max_codepoint=126)


@given(st.text(PRINTABLE), st.sampled_from(["postgresql", "mysql+pymysql", "redis", "s3"]))
@example("p@ss", "postgresql")
@example("a/b@c/d", "postgresql")
@example("5432/x", "postgresql")
def test_a_password_in_an_address_is_masked_whatever_it_holds(password: str, scheme: str) -> None:
    text = f"at {scheme}://user:{password}@host/db as told"
    assert masked(text) == f"at {scheme}://user:***@host/db as told"
    assert has_password(text)
    assert looks_secret("anything", text)


@given(st.text("abcXYZ/@:-_.!~*+", min_size=1))
def test_a_password_in_a_web_address_is_masked_too(password: str) -> None:
    assert masked(f"https://user:{password}@p/x@host/v1") == "https://user:***@host/v1"


@pytest.mark.parametrize(
    "text",
    [
        "http://host:80/x@y",
        '{"a":"http://host:80","b":"x@y"}',
        "https://host:443?mail=a@b",
        "http://localhost:5000\x94\x8c@",
        "postgresql://host:5432\x94@",
        "postgresql://host:5432/db does not answer; ask a@b",
        "sqlite:///a@b.db",
        "user@host:5",
    ],
)
def test_an_address_without_a_password_stays_as_it_is(text: str) -> None:
    assert masked(text) == text
    assert not has_password(text)


def test_one_list_of_names_says_what_a_secret_is() -> None:
    for name in ("OPENAI_API_KEY", "PGPASSWORD", "db_passwd", "GH_TOKEN", "MY_CREDENTIALS", "SSH_PASSPHRASE"):
        assert is_secret(name)
        assert looks_secret(name, "value")
    for name in ("MODEL", "MAX_TOKENS", "KEYBOARD", "AWS_PROFILE"):
        assert not is_secret(name)
        assert not looks_secret(name, "value")


@pytest.mark.integration
def test_a_provider_that_repeats_the_key_leaves_none_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with lm_server() as server:
        server.faults = [400] * 30
        server.fault_message = f"the key {KEY} is not liked"
        pipeline = OptimizationPipeline(enable_tracking=False, runs_dir=tmp_path / "runs")
        result = pipeline.run(request(server.api_base, tmp_path), training_data=rows(60))
    assert result.status == "failed"
    assert "is not liked" in str(result.error)
    assert KEY not in result.model_dump_json()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(b"is not liked" in path.read_bytes() for path in files)
    assert not [path for path in files if KEY.encode() in path.read_bytes()]
