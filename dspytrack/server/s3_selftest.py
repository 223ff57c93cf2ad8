"""Tries an S3 bucket: write, read, delete. Imports boto3 alone, because the server's container runs this file, too."""

from __future__ import annotations

import os
import sys
import uuid
from urllib.parse import urlparse


def write_read_delete(uri: str, endpoint: str | None) -> None:
    """Write, read and delete one small object below `s3://bucket/path`.

    Raises:
        botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError: what went wrong.
        OSError: where what was read is not what was written.
    """
    import boto3  # type: ignore[import-untyped]
    from botocore.config import Config  # type: ignore[import-untyped]

    url = urlparse(uri)
    key = f"{url.path.strip('/')}/dspytrack-check-{uuid.uuid4().hex}".lstrip("/")
    settings = Config(connect_timeout=5, read_timeout=15, retries={"max_attempts": 2})
    client = boto3.client("s3", endpoint_url=endpoint or None, config=settings)
    client.put_object(Bucket=url.netloc, Key=key, Body=b"dspytrack")
    try:
        if client.get_object(Bucket=url.netloc, Key=key)["Body"].read() != b"dspytrack":
            raise OSError("what was read is not what was written")
    finally:
        client.delete_object(Bucket=url.netloc, Key=key)


if __name__ == "__main__":
    try:
        write_read_delete(os.environ["MLFLOW_ARTIFACTS_DESTINATION"], os.environ.get("MLFLOW_S3_ENDPOINT_URL"))
    except Exception as error:  # noqa: BLE001 (the whole program: its last line is the reason)
        sys.exit(f"{type(error).__name__}: {error}")
