"""Is an S3 bucket writable, readable and erasable? Needs boto3 alone: the server's container runs this file too."""

from __future__ import annotations

import os
import sys
import uuid
from urllib.parse import urlparse


def check_bucket(uri: str, endpoint: str | None) -> None:
    """Write, read and delete one small object below `s3://bucket/path`.

    Raises:
        botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError: what went wrong.
        OSError: where what was read is not what was written.
    """
    import boto3  # type: ignore[import-untyped]
    from botocore.config import Config  # type: ignore[import-untyped]

    place = urlparse(uri)
    key = f"{place.path.strip('/')}/dspytrack-check-{uuid.uuid4().hex}".lstrip("/")
    settings = Config(connect_timeout=5, read_timeout=15, retries={"max_attempts": 2})
    client = boto3.client("s3", endpoint_url=endpoint or None, config=settings)
    client.put_object(Bucket=place.netloc, Key=key, Body=b"dspytrack")
    try:
        if client.get_object(Bucket=place.netloc, Key=key)["Body"].read() != b"dspytrack":
            raise OSError("what was read is not what was written")
    finally:
        client.delete_object(Bucket=place.netloc, Key=key)


if __name__ == "__main__":
    try:
        check_bucket(os.environ["MLFLOW_ARTIFACTS_DESTINATION"], os.environ.get("MLFLOW_S3_ENDPOINT_URL"))
    except Exception as error:  # noqa: BLE001 (the whole program: its last line is the reason)
        sys.exit(f"{type(error).__name__}: {error}")
