"""The bucket of `--artifacts s3://…`, tried before anything is kept in it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from dspytrack.errors import UnreachableError, UsageError
from dspytrack.server import s3_check
from dspytrack.server.compose.engine import Engine
from dspytrack.server.settings import Settings, without_secrets


def check_here(settings: Settings) -> None:
    """Write, read and delete an object from this machine.

    Raises:
        UsageError: where boto3 is missing.
        UnreachableError: where the store refuses or does not answer, with its reason.
    """
    if find_spec("boto3") is None:
        raise UsageError("artifacts in S3 need boto3: pip install 'dspytrack[server]'")
    from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

    try:
        s3_check.check_bucket(settings.artifacts or "", settings.s3_endpoint)
    except (BotoCoreError, ClientError, OSError) as error:
        at = f" at {settings.s3_endpoint}" if settings.s3_endpoint else ""
        raise UnreachableError(
            f"{settings.artifacts}{at} cannot be written, read and deleted: "
            f"{without_secrets(str(error), settings.env_file)}; credentials come from the environment "
            "(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), the address of a store of your own from MLFLOW_S3_ENDPOINT_URL"
        ) from error


def check_inside(engine: Engine) -> None:
    """The same from a container like the server's, which may not reach what this machine reaches.

    Raises:
        UnreachableError: where it does not.
    """
    with Path(s3_check.__file__).open("rb") as program:
        try:
            engine.compose("run", "--rm", "--no-deps", "-T", "mlflow", "python", "-", stdin=program)
        except UnreachableError as error:
            raise UnreachableError(
                f"the server's container cannot use {engine.settings.artifacts} (an S3 store on this machine has to "
                f"listen on more than loopback): {error}"
            ) from error
