"""What stores raise becomes one sentence with the cause in it, and nothing secret."""

from __future__ import annotations

from pathlib import Path

import botocore.exceptions  # type: ignore[import-untyped]
import pytest
from mlflow.exceptions import MlflowException, get_error_code
from requests.exceptions import HTTPError, SSLError

from dspytrack.errors import UnreachableError, UsageError
from dspytrack.tracking.config import MLflowConfig
from dspytrack.tracking.errors import explained, is_forbidden, login_variables

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
def test_the_root_cause_of_a_failed_request_is_reported(cause: str) -> None:
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


def test_what_a_login_may_not_do_names_the_login_and_the_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("USERNAME", "PASSWORD"):
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", "x")
    error = MlflowException("API request to endpoint /api/x failed", error_code=get_error_code(403))
    assert is_forbidden(error)
    assert str(explained(error, CONFIG)).endswith(
        "/team/api/x: the login of MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD may not do this (403)"
    )
    assert login_variables() == ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
    for name in ("USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    assert str(explained(error, CONFIG)).endswith("this is not allowed (403)")
    assert login_variables() == ()


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        ("ENDPOINT_NOT_FOUND", UnreachableError, "there is no MLflow server at this address (404)"),
        ("INVALID_PARAMETER_VALUE", UsageError, "MLflow rejects it: a reason"),
        ("RESOURCE_DOES_NOT_EXIST", UsageError, "/team: a reason"),
        ("INTERNAL_ERROR", UnreachableError, "/team: a reason"),
    ],
)
def test_each_kind_of_mlflows_errors_has_its_exit_code(code: str, kind: type[Exception], said: str) -> None:
    error = MlflowException("a reason\nand a traceback")
    error.error_code = code
    found = explained(error, CONFIG)
    assert isinstance(found, kind) and said in str(found) and "traceback" not in str(found)


def test_a_full_disk_and_an_artifact_store_are_something_outside() -> None:
    assert isinstance(explained(OSError("No space left on device"), CONFIG), UnreachableError)
    found = explained(botocore.exceptions.NoCredentialsError(), CONFIG)
    assert isinstance(found, UnreachableError) and "MLFLOW_S3_ENDPOINT_URL" in str(found)
