"""No secret in what a run leaves or prints, even where the provider repeats it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from dspytrack.config.loader import load_request
from dspytrack.config.masking import has_password, is_secret, keep_secret, masked
from dspytrack.config.secrets import looks_secret
from dspytrack.errors import ConfigError
from dspytrack.pipeline import OptimizationPipeline
from dspytrack.programs.package import predict
from dspytrack.tracking import MLflowConfig
from tests.support.configs import edited, write
from tests.support.lm_server import lm_server
from tests.support.requests import request, rows

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
    for name in ("OPENAI_API_KEY", "PGPASSWORD", "db_passwd", "GH_TOKEN", "MY_CREDENTIALS", "SSH_PASSPHRASE", "DB_PWD"):
        assert is_secret(name)
        assert looks_secret(name, "value")
    for name in ("MODEL", "MAX_TOKENS", "KEYBOARD", "AWS_PROFILE", "PWD"):
        assert not is_secret(name)
    for name in ("MODEL", "MAX_TOKENS", "KEYBOARD", "AWS_PROFILE", "secretary", "sort_key", "author", "pad_token_id"):
        assert not looks_secret(name, "value")


SECRETS = [
    "sk-abcdefghijklmnopqrstu",
    "AIzaSyA1234567890abcdefghijklmnopqrstuv",
    "hf_abcdefghijklmnopqrstuvwxyzABCDEF",
    "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
    "xoxb-123456789012-abcdef",
    "-----BEGIN RSA PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY-----\nMIIE",
    "Basic dXNlcjpwYXNzd29yZA==",
    "Bearer abcdefghijk1",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    "https://host/v1?api-key=abc",
    "https://host/v1?a=b&sig=abc",
    "https://host/v1?code=1&access_token=abc",
]
PLAIN = [
    "Basic understanding of the text",
    "Bearer certificates are named.",
    "-----BEGIN PUBLIC KEY-----",
    "https://host/v1?api-version=2024&author=me&max_tokens=3",
    "https://host/keys/token",
    "Name the key, the token and the password.",
    "risk-averse-approaches-to-all-of-it",
]


@pytest.mark.parametrize("value", SECRETS)
def test_a_secret_is_known_by_its_form(value: str) -> None:
    assert looks_secret("anything", f"{value}")


@pytest.mark.parametrize("value", PLAIN)
def test_ordinary_texts_are_no_secrets(value: str) -> None:
    assert not looks_secret("anything", value)


HEADERS = ["Ocp-Apim-Subscription-Key", "X-Api-Key", "xApiKey", "Cookie", "Set-Cookie", "X-Auth", "apikey", "Token"]
HEADERS += ["X-Goog-Credential", "Proxy-Authorization", "X-Pwd", "Client-Secret", "X-Signature", "my_access_token"]
OTHERS = ["X-Author", "X-Monkey", "X-Keyboard", "X-Tokenizer", "Accept", "Content-Type", "X-Max-Tokens", "X-Tenant"]


@pytest.mark.parametrize("container", ["extra_headers", "headers", "extra_query"])
def test_a_header_is_a_secret_by_its_name_others_are_not(container: str, tmp_path: Path) -> None:
    for name in HEADERS + OTHERS:
        lm = {"model": "openai/gpt-4o-mini", "options": {container: {name: "plain"}}}
        if name in OTHERS:
            request("http://host", tmp_path, lm=lm)
            continue
        with pytest.raises(ValueError, match=rf"`lm.options.{container}.{name}`: secrets .* write `\$\{{NAME_OF"):
            request("http://host", tmp_path, lm=lm)


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"program": {"import": "own:It", "params": {"api_key": "abc"}}}, "program.params.api_key"),
        ({"program": {"import": "own:It", "params": {"keys": [{"pwd": "abc"}]}}}, "program.params.keys.0.pwd"),
        ({"program": {"import": "own:It", "params": {"api_key": "${VAR}"}}}, "program.params.api_key"),
        ({"program": {"import": "own:It", "params": {"secrets": {"first": "abc"}}}}, "program.params.secrets.first"),
        ({"metric": {"import": "own:it", "params": {"api_key": 1234567890123}}}, "metric.params.api_key"),
        ({"tracking": {"tags": {"note": SECRETS[0]}}}, "tracking.tags.note"),
        ({"lm": {"model": "openai/x", "api_base": "https://me@host/v1"}}, "lm.api_base"),
        ({"lm": {"model": "openai/x", "api_base": "https://host/v1?api-key=abc"}}, "lm.api_base"),
        ({"lm": {"model": "openai/x", "options": {"api_key": "${VAR:-abc}"}}}, "lm.options.api_key"),
        ({"lm": {"model": "openai/x", "options": {"auth": f"{SECRETS[7]}${{VAR}}"}}}, "lm.options.auth"),
        ({"optimizer": {"name": "gepa", "params": {"wandb_api_key": "abc"}}}, "optimizer.0.params.wandb_api_key"),
    ],
)
def test_the_same_is_refused_from_python_as_in_a_file(tmp_path: Path, changes: dict[str, Any], place: str) -> None:
    said = "secrets are taken from the environment only"
    with pytest.raises(ValueError, match=f"`{re.escape(place)}`: {said}") as caught:
        request("http://host", tmp_path, **changes)
    assert "abc" not in str(caught.value)
    document = request("http://host", tmp_path).resolved() | changes
    with (tmp_path / "c.yaml").open("w") as file:
        YAML().dump(document, file)
    with pytest.raises(ConfigError, match=said) as refused:
        load_request(tmp_path / "c.yaml", environ={"VAR": "a value"})
    assert refused.value.key == place.replace("optimizer.0", "optimizer")
    assert refused.value.line is not None


def test_numbers_and_words_that_are_no_secrets_pass(tmp_path: Path) -> None:
    options = {"max_tokens": 1234567, "stop": ["token"], "user": "author", "logit_bias": {"key": 1}, "seed": 1234567890}
    options |= {"extra_body": {"tokenizer": "monkey", "pad_token": None, "use_api_key": True, "api_key": ""}}
    request("http://host", tmp_path, lm={"model": "openai/x", "options": options})


@pytest.mark.integration
def test_a_header_from_the_environment_reaches_the_lm_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-for-loopback")
    monkeypatch.setenv("GATEWAY", KEY)
    uri = f"sqlite:///{tmp_path}/m.db"
    folder = write(tmp_path)
    headers = "{Ocp-Apim-Subscription-Key: '${GATEWAY}', Authorization: 'Bearer ${GATEWAY}'}"
    edited(folder, "openai/gpt-4o-mini", f"openai/gpt-4o-mini, options: {{extra_headers: {headers}}}")
    with lm_server() as server:
        asked = load_request(folder / "config.yaml", [f"lm.api_base={server.api_base}"])
        tracking = MLflowConfig(tracking_uri=uri, artifact_location=str(tmp_path / "sent"))
        pipeline = OptimizationPipeline(tracking, runs_dir=tmp_path / "runs")
        result = pipeline.run(asked)
        assert (result.status, result.tracking_error) == ("completed", None)
        assert {(one["ocp-apim-subscription-key"], one["authorization"]) for one in server.headers} == {
            (KEY, f"Bearer {KEY}")
        }
        kept = Path(result.record) / "artifacts"
        server.headers.clear()
        row = {"text": f"The bad thing {uuid4()}."}  # DSPy's own cache outlives this test
        assert next(predict(kept / "models", [row])) == {"label": "negative"}
        assert server.headers[0]["ocp-apim-subscription-key"] == KEY
        monkeypatch.delenv("GATEWAY")
        with pytest.raises(ConfigError, match=r"Ocp-Apim-Subscription-Key: .* GATEWAY is not set$"):
            load_request(folder / "config.yaml")
        with pytest.raises(ConfigError, match=r"lm.options.extra_headers.*: .* GATEWAY is not set"):
            next(predict(kept / "models", [row]))
    assert "${GATEWAY}" in (kept / "models" / "program.json").read_text()
    assert load_request(kept / "config.yaml", environ={"GATEWAY": "x"}).lm == asked.lm
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "m.db" for path in files)
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


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
