"""What stores raise becomes one sentence with the cause in it, and nothing secret."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException, get_error_code
from requests.exceptions import HTTPError, SSLError

from dspytrack.errors import UnreachableError, UsageError
from dspytrack.tracking.config import MLflowConfig
from dspytrack.tracking.errors import explained

CONFIG = MLflowConfig(tracking_uri="http://me:a-password@host:80/team")
POOL = "HTTPConnectionPool(host='host', port=80): Max retries exceeded with url: /x"
CAUSES = {
    """NewConnectionError("HTTPConnection(host='host', port=80): No connection: [Errno 111] Connection refused")""": (
        "No connection: [Errno 111] Connection refused"
    ),
    """ReadTimeoutError("HTTPConnectionPool(host='host', port=80): Read timed out. (read timeout=4)")""": (
        "Read timed out. (read timeout=4)"
    ),
    """ConnectTimeoutError(<HTTPConnection(host='host', port=80) at 0x7f>, 'Connection to host timed out.')""": (
        "Connection to host timed out."
    ),
    "ResponseError('too many 500 error responses')": "too many 500 error responses",
    "ProtocolError('Connection aborted.', ConnectionResetError(104, 'Connection reset by peer'))": (
        "Connection aborted. Connection reset by peer"
    ),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_the_cause_is_what_is_told_of_a_failed_request(cause: str) -> None:
    error = MlflowException(f"API request to http://host/x failed with exception {POOL} (Caused by {cause})")
    found = explained(error, CONFIG)
    assert isinstance(found, UnreachableError)
    assert str(found) == f"http://me:***@host:80/team does not answer: {CAUSES[cause]}"


def test_a_certificate_that_nobody_knows_says_which_variable_makes_it_known() -> None:
    inner = "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: "
    try:
        raise MlflowException(f"failed with exception {POOL} (Caused by {inner}self-signed certificate (_ssl.c:1)')))")
    except MlflowException as error:
        error.__context__ = SSLError()
        found = str(explained(error, CONFIG))
    assert "is not trusted: self-signed certificate; if it is your own" in found
    assert "MLFLOW_TRACKING_SERVER_CERT_PATH" in found


def test_a_refused_login_names_what_was_used_and_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    refused = MlflowException("endpoint /x failed with error code 401", error_code=get_error_code(401))
    assert "wants a login (401), and none is set; set MLFLOW_TRACKING_USERNAME" in str(explained(refused, CONFIG))
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
    assert "only MLFLOW_TRACKING_USERNAME is set" in str(explained(refused, CONFIG))
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "a-token-of-ours")
    found = explained(refused, CONFIG, Path("other.env"))
    assert "refuses the login (401) of MLFLOW_TRACKING_TOKEN" in str(found) and "other.env" in str(found)
    assert "a-token-of-ours" not in str(found)


def test_what_is_no_failure_of_a_store_is_left_alone() -> None:
    assert explained(ValueError("a bug"), CONFIG) is None
    assert explained(ModuleNotFoundError("no module", name="another"), CONFIG) is None
    missing = explained(ModuleNotFoundError("no module", name="boto3"), CONFIG)
    assert isinstance(missing, UsageError) and "dspytrack[server]" in str(missing)
    assert isinstance(explained(HTTPError("503"), CONFIG), UnreachableError)


def test_a_postgresql_address_names_the_driver_that_is_installed() -> None:
    assert MLflowConfig(tracking_uri="postgresql://me@host/db").tracking_uri == "postgresql+psycopg2://me@host/db"
    other = "postgresql+psycopg://me@host/db"
    assert MLflowConfig(tracking_uri=other, registry_uri="postgresql://r/db").tracking_uri == other
    assert MLflowConfig(registry_uri="postgresql://r/db").registry_uri == "postgresql+psycopg2://r/db"


def test_a_certificate_beside_the_env_file_is_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", "")
    (tmp_path / "team.env").write_text("MLFLOW_TRACKING_SERVER_CERT_PATH=ca.pem\n")
    MLflowConfig.load(tmp_path / "team.env")
    assert os.environ["MLFLOW_TRACKING_SERVER_CERT_PATH"] == str(tmp_path / "ca.pem")
