"""What is a secret, by name, by form and by place; and that a request never holds one."""

from __future__ import annotations

import base64
import random
import re
import string
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from dspytrack.config.loader import load_request
from dspytrack.config.secrets import hidden, holds_secret, is_secret_variable, looks_secret, names_secret
from dspytrack.errors import ConfigError
from dspytrack.pipeline import OptimizationPipeline
from dspytrack.programs.predict import predict
from dspytrack.tracking import MLflowConfig
from tests.support.configs import edited, write
from tests.support.lm_server import lm_server
from tests.support.requests import request

KEY = "a-key-that-nobody-may-read"
SECRET_NAMES = [
    *("OPENAI_API_KEY", "X-Api-Key", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "GITHUB_TOKEN", "DB_PASSWORD", "PGPASSWORD"),
    *("SESSION_COOKIE", "db_passwd", "MY_CREDENTIALS", "SSH_PASSPHRASE", "DB_PWD", "accessToken", "client-secret"),
    *("MLFLOW_FLASK_SERVER_SECRET_KEY", "AZURE_STORAGE_ACCOUNT_KEY", "apikey", "api_tokens"),
]
PLAIN_NAMES = [
    *("sort_key", "monkey", "PARTITION_KEY", "max_tokens", "tokenizer", "author", "MODEL", "KEYBOARD", "AWS_PROFILE"),
    *("secretary", "pad_token_id", "pad_token", "next_page_token", "key", "keys", "AWS_ACCESS_KEY_ID", "primaryKey"),
    *("public_key", "tokens", "MY_SERVICE_KEY", "authority", "cookie_policy"),
]


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_name_says_that_its_value_is_a_secret(name: str) -> None:
    assert names_secret(name)
    assert is_secret_variable(name, "value")
    assert looks_secret(name, "value")


@pytest.mark.parametrize("name", PLAIN_NAMES)
def test_an_ordinary_name_says_nothing_of_the_kind(name: str) -> None:
    assert not names_secret(name)
    assert not is_secret_variable(name, "value")
    assert not looks_secret(name, "value")


@given(st.sampled_from(SECRET_NAMES + PLAIN_NAMES))
def test_the_spelling_of_a_name_makes_no_difference(name: str) -> None:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().replace("-", "_").split("_")
    camel = words[0] + "".join(word.capitalize() for word in words[1:])
    spellings = ["_".join(words), "-".join(words), "_".join(words).upper(), "-".join(words).title(), camel]
    assert {names_secret(one) for one in spellings} == {names_secret(name)}


@given(st.sampled_from(PLAIN_NAMES), st.sampled_from(PLAIN_NAMES))
def test_ordinary_words_make_no_secret_together_unless_the_last_says_so(first: str, last: str) -> None:
    assert names_secret(f"{last}_{first}_count") is False
    assert names_secret(f"{first}_{last}_password") is True


def random_keys(count: int = 300) -> list[str]:
    """Keys as services make them: base62, hex, base64, UUIDs."""
    made, alphabet = random.Random(0), string.ascii_letters + string.digits
    found = ["".join(made.choices(alphabet, k=32)) for _ in range(count)]
    found += [made.randbytes(16).hex() for _ in range(count)]
    found += [base64.urlsafe_b64encode(made.randbytes(24)).decode() for _ in range(count)]
    return found + [str(UUID(bytes=made.randbytes(16))) for _ in range(count)]


def test_a_variable_that_ends_in_key_is_a_secret_where_its_value_looks_random() -> None:
    keys = random_keys()
    assert sum(is_secret_variable("MY_SERVICE_KEY", one) for one in keys) > 0.98 * len(keys)
    assert not any(is_secret_variable(name, one) for name in ("SORT_KEY", "PUBLIC_KEY", "MODEL") for one in keys)
    for value in ("created_at", "customer_id_2024_archive", "partitionKeyForTheArchive", "2024-01-01T00:00:00Z"):
        assert not is_secret_variable("MY_SERVICE_KEY", value)


def test_the_working_folder_is_no_password() -> None:
    assert not is_secret_variable("PWD", "/home/me/work")


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
    "postgresql://host/db?password=abc",
    "postgresql+psycopg2://host:5432/db?user=me&password=abc&sslmode=require",
]
PLAIN = [
    "Basic understanding of the text",
    "Bearer certificates are named.",
    "-----BEGIN PUBLIC KEY-----",
    "https://host/v1?api-version=2024&author=me&max_tokens=3&sort_key=name",
    "https://host/keys/token",
    "postgresql://host/db?user=me&sslmode=require",
    "Name the key, the token and the password.",
    "What of ?password=abc without an address?",
    "risk-averse-approaches-to-all-of-it",
]


@pytest.mark.parametrize("value", SECRETS)
def test_a_secret_is_known_by_its_form(value: str) -> None:
    assert holds_secret(f"at {value}")
    assert looks_secret("anything", value)


@pytest.mark.parametrize("value", PLAIN)
def test_ordinary_texts_hold_no_secret(value: str) -> None:
    assert hidden(value) == value
    assert not looks_secret("anything", value)


HEADERS = ["Ocp-Apim-Subscription-Key", "X-Api-Key", "xApiKey", "Cookie", "Set-Cookie", "X-Auth", "apikey", "Token"]
HEADERS += ["X-Goog-Credential", "Proxy-Authorization", "X-Pwd", "Client-Secret", "X-Signature", "my_access_token"]
OTHERS = ["X-Author", "X-Monkey", "X-Keyboard", "X-Tokenizer", "Accept", "Content-Type", "X-Max-Tokens", "X-Tenant"]
OTHERS += ["X-Sort-Key", "partition_key"]


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
    options |= {"extra_body": {"tokenizer": "monkey", "pad_token": "<pad>", "use_api_key": True, "api_key": ""}}
    options["extra_body"] |= {"sort_key": "name", "partition_key": "customer"}
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
