"""No secret in what is printed, logged or kept, even where a provider repeats it."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from dspytrack.config.masking import keep_secret, masked
from dspytrack.config.secrets import MASK, holds_secret
from dspytrack.pipeline import OptimizationPipeline
from tests.support.lm_server import lm_server
from tests.support.requests import request, rows

KEY = "a-key-that-nobody-may-read"
PRINTABLE = st.characters(min_codepoint=33, max_codepoint=126)
SECRET = st.text("abcXYZ0189-_.!", min_size=6)


def test_secrets_of_the_environment_and_of_addresses_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", KEY)
    keep_secret("kept-by-value")
    text = f"key {KEY}, kept-by-value, postgresql://me:pass@host/db, {'env-file-secret'}"
    assert masked(text, ["env-file-secret"]) == "key ***, ***, postgresql://me:***@host/db, ***"
    assert masked("plain: a text, http://host:80/x@y") == "plain: a text, http://host:80/x@y"


def test_an_ordinary_variable_masks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SORT_KEY", "created_at")
    monkeypatch.setenv("SOME_SERVICE_KEY", "customer")
    assert masked("by created_at of the customer") == "by created_at of the customer"
    monkeypatch.setenv("SOME_SERVICE_KEY", "x7Kq2LmZ9pWv4TnB")
    assert masked("refused x7Kq2LmZ9pWv4TnB") == "refused ***"


@given(st.text(PRINTABLE), st.sampled_from(["postgresql", "mysql+pymysql", "redis", "s3"]))
@example("p@ss", "postgresql")
@example("a/b@c/d", "postgresql")
@example("5432/x", "postgresql")
def test_a_password_in_an_address_is_masked_whatever_it_holds(password: str, scheme: str) -> None:
    assume(password != MASK)
    text = f"at {scheme}://user:{password}@host/db as sent"
    assert masked(text) == f"at {scheme}://user:***@host/db as sent"
    assert holds_secret(text)


@given(st.text("abcXYZ/@:-_.!~*+", min_size=1))
def test_a_password_in_a_web_address_is_masked_too(password: str) -> None:
    assert masked(f"https://user:{password}@p/x@host/v1") == "https://user:***@host/v1"


@given(st.text("abcXYZ019/@:-_.!~*+%$", min_size=1), st.sampled_from(["postgresql", "mysql+pymysql", "https"]))
def test_a_password_in_the_query_of_an_address_is_masked(password: str, scheme: str) -> None:
    text = f"{scheme}://host/db?user=me&password={password}&sslmode=require does not answer"
    assert masked(text) == f"{scheme}://host/db?user=me&password=***&sslmode=require does not answer"


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
        "postgresql://host/db?sslmode=require",
    ],
)
def test_an_address_without_a_password_stays_as_it_is(text: str) -> None:
    assert masked(text) == text
    assert not holds_secret(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Authorization: Bearer abcdefghijk1, sent", "Authorization: Bearer ***, sent"),
        ("Authorization: Basic dXNlcjpwYXNzd29yZA==, sent", "Authorization: Basic ***, sent"),
        ("the key sk-abcdefghijklmnopqrstu is refused", "the key *** is refused"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\nwas read", "***\nwas read"),
        ("GET https://host/v1?key=abc&page=2", "GET https://host/v1?key=***&page=2"),
    ],
)
def test_what_is_a_secret_by_its_form_is_masked_and_the_rest_stays(text: str, shown: str) -> None:
    assert masked(text) == shown


@given(SECRET, st.text("abc:", max_size=8))
def test_a_known_secret_is_masked_in_base64_too_wherever_it_stands(secret: str, user: str) -> None:
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        encoded = encode(f"{user}{secret}".encode()).decode()
        assert masked(f"sent '{encoded}'", [secret]) == "sent '***'"
        assert encoded.rstrip("=") not in masked(f"Basic {encoded.rstrip('=')} was refused", [secret])


@given(SECRET, st.text(max_size=20), st.text(max_size=20))
def test_nothing_of_a_known_secret_is_left(secret: str, before: str, after: str) -> None:
    assert secret not in masked(f"{before}{secret}{after}", [secret])


@given(st.text(st.one_of(PRINTABLE, st.sampled_from(" \n")), max_size=200))
@example("postgresql://a:b@c?password=d Bearer abcdefghijk1 Basic dXNlcjpwYXNzd29yZA== sk-abcdefghijklmnopqrstu")
def test_masking_twice_is_masking_once(text: str) -> None:
    assert masked(masked(text)) == masked(text)


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
