"""What MLflow, its database and its artifact store raise, as one sentence that says what to set.

Owns the variables of the login as well: what a refused login means depends on which of them are set.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from dspytrack.config.masking import masked
from dspytrack.errors import DspytrackError, UnreachableError, UsageError
from dspytrack.tracking import ENV_FILE
from dspytrack.tracking.config import MLflowConfig

USERNAME, PASSWORD, TOKEN = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"
_DRIVERS = {"psycopg2": "PostgreSQL", "psycopg": "PostgreSQL", "boto3": "S3", "botocore": "S3"}
_CAUSE = re.compile(
    r"""Caused by \w+\((?:["']?<?HTTPS?Connection(?:Pool)?\([^)]*\)(?: at \w+>)?[:,] )?["']?(.*?)["']?\)+$"""
)
_ARTIFACTS = ("boto3", "botocore", "s3transfer")
_LONGEST_REASON = 700


def explained(error: Exception, config: MLflowConfig, env_file: Path = ENV_FILE) -> DspytrackError | None:
    """The error to show for what a store raised; None where it does not come from a store.

    Args:
        error: as caught.
        config: of the store.
        env_file: where settings are kept, for the advice.
    """
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException, SSLError
    from sqlalchemy.exc import SQLAlchemyError

    if isinstance(error, ImportError):
        what = _DRIVERS.get(str(error.name))
        return UsageError(f"{what} needs {error.name}: pip install 'dspytrack[server]'") if what else None
    if any(isinstance(one, SSLError) for one in _chain(error)):
        return _of_certificate(error, config, env_file)
    if is_forbidden(error):
        endpoint = re.search(r"endpoint (\S+)", str(error))
        return UnreachableError(f"{config.shown}{endpoint.group(1) if endpoint else ''}: {_forbidden()}")
    if isinstance(error, MlflowException):
        return _of_mlflow(error, config, env_file)
    if isinstance(error, RequestException | SQLAlchemyError):
        return UnreachableError(f"{config.shown} does not answer: {_reason(error)}")
    if type(error).__module__.partition(".")[0] in _ARTIFACTS:
        return UnreachableError(
            f"{config.shown}: the artifact store: {_reason(error)}",
            "its login is AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, the address of a store of your own "
            "MLFLOW_S3_ENDPOINT_URL",
        )
    if isinstance(error, OSError):  # an artifact folder that is full or may not be written
        return UnreachableError(f"{config.shown}: {_reason(error)}")
    return None


def is_forbidden(error: BaseException) -> bool:
    """Whether a server refused what this login asked for (403)."""
    answered = getattr(getattr(error, "response", None), "status_code", None)
    return answered == 403 or getattr(error, "error_code", None) == "PERMISSION_DENIED"


def login_variables() -> tuple[str, ...]:
    """The variables that MLflow logs in with: name and password where both are set, else the token, else none."""
    if os.environ.get(USERNAME) and os.environ.get(PASSWORD):
        return (USERNAME, PASSWORD)
    return (TOKEN,) if os.environ.get(TOKEN) else ()


def _forbidden() -> str:
    used = login_variables()
    return f"the login of {' and '.join(used)} may not do this (403)" if used else "this is not allowed (403)"


def _unauthorized() -> str:
    used = login_variables()
    if used:
        return f"refuses the login (401) of {' and '.join(used)}"
    half = [name for name in (USERNAME, PASSWORD) if os.environ.get(name)]
    return f"wants a login (401), and {f'only {half[0]}' if half else 'none'} is set"


def _of_certificate(error: Exception, config: MLflowConfig, env_file: Path) -> UnreachableError:
    why = re.search(r"certificate verify failed: ([^()]+[^() ])", str(error))
    return UnreachableError(
        f"{config.shown}: its certificate is not trusted: {why.group(1) if why else _http_reason(_reason(error))}",
        f"if it is your own, put the path of its CA into {env_file}: MLFLOW_TRACKING_SERVER_CERT_PATH=ca.pem",
    )


def _of_mlflow(error: Exception, config: MLflowConfig, env_file: Path) -> DspytrackError:
    code, reason = getattr(error, "error_code", ""), _reason(error)
    if code in ("UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED"):
        return UnreachableError(
            f"{config.shown} {_unauthorized()}",
            f"set {USERNAME} and {PASSWORD}, or {TOKEN}, in {env_file} or the environment",
        )
    if code == "ENDPOINT_NOT_FOUND":
        return UnreachableError(
            f"{config.shown}: there is no MLflow server at this address (404)",
            "MLFLOW_TRACKING_URI has to hold the path, too, where a server has one: http://host/prefix",
        )
    if code in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST"):
        return UsageError(f"MLflow rejects it: {reason}")
    if code == "RESOURCE_DOES_NOT_EXIST":
        return UsageError(f"{config.shown}: {reason}")
    if re.search(r"failed with (timeout )?exception", reason):
        return UnreachableError(f"{config.shown} does not answer: {_http_reason(reason)}")
    return UnreachableError(f"{config.shown}: {reason}")


def _http_reason(text: str) -> str:
    """The root cause in what requests and urllib3 say; all of it where there is none."""
    found = _CAUSE.search(text)
    return re.sub(r"""["'], \w+\((\d+, )?["']?""", " ", found.group(1)) if found else text


def _reason(error: Exception) -> str:
    return masked((str(error).splitlines() or [type(error).__name__])[0][:_LONGEST_REASON])


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
