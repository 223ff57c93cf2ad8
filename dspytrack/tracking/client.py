"""Opens MLflow clients: few retries, short time-outs, quiet, and one clear error where a store does not answer."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dspytrack.errors import UnreachableError, UsageError
from dspytrack.masking import masked
from dspytrack.tracking.config import MLflowConfig

if TYPE_CHECKING:
    from mlflow import MlflowClient


@contextmanager
def connected(config: MLflowConfig) -> Iterator[MlflowClient]:
    """A client for as long as the block lasts.

    Raises:
        UnreachableError: where the store does not answer or refuses the login.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # stdout is the answer's alone
    for name in ("alembic", "mlflow.store.db.utils", "mlflow.tracking.fluent"):
        logging.getLogger(name).setLevel(logging.WARNING)
    import mlflow
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield mlflow.MlflowClient(config.tracking_uri, config.registry_uri)
    except (RequestException, SQLAlchemyError) as error:
        raise UnreachableError(f"{config.shown} does not answer: {_first_line(error)}") from error
    except MlflowException as error:
        if error.error_code == "INVALID_PARAMETER_VALUE":
            raise UsageError(f"MLflow refuses it: {_first_line(error)}") from error
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            raise UsageError(f"{config.shown}: {_first_line(error)}") from error
        raise UnreachableError(f"{config.shown}: {_first_line(error)}") from error
    except OSError as error:  # an artifact folder that is full or may not be written
        raise UnreachableError(f"{config.shown}: {_first_line(error)}") from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in ("boto3", "botocore"):  # may not be installed
            raise
        raise UnreachableError(f"{config.shown}: the artifact store: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return masked((str(error).splitlines() or [type(error).__name__])[0][:300])
