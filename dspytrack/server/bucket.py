"""Checks the bucket of `--artifacts s3://…` before anything is stored in it."""

from __future__ import annotations

from importlib.util import find_spec

from dspytrack.errors import UnreachableError, UsageError
from dspytrack.server import s3_selftest
from dspytrack.server.settings import Settings, without_secrets


def check_bucket(settings: Settings) -> None:
    """Write, read and delete an object from this machine.

    Raises:
        UsageError: where boto3 is missing.
        UnreachableError: where the store rejects it or does not answer, with the reason.
    """
    if find_spec("boto3") is None:
        raise UsageError("artifacts in S3 need boto3: pip install 'dspytrack[server]'")
    from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

    try:
        s3_selftest.write_read_delete(settings.artifacts or "", settings.s3_endpoint)
    except (BotoCoreError, ClientError, OSError) as error:
        at = f" at {settings.s3_endpoint}" if settings.s3_endpoint else ""
        raise UnreachableError(
            f"{settings.artifacts}{at} cannot be written, read and deleted: "
            f"{without_secrets(str(error), settings.env_file)}; credentials come from the environment "
            "(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), the address of a store other than Amazon's from "
            "MLFLOW_S3_ENDPOINT_URL"
        ) from error
