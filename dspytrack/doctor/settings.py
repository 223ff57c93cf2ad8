"""Checks of the settings: is there an env file, where does each value come from, may others read its secrets."""

from __future__ import annotations

from collections.abc import Iterator

from dspytrack.config.secrets import is_secret_variable, looks_secret
from dspytrack.doctor.check import Check, failed, passed, skipped
from dspytrack.doctor.folder_settings import FolderSettings

_ALWAYS = ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME")
_WHERE_SET = (
    "MLFLOW_ARTIFACT_LOCATION",
    "MLFLOW_REGISTRY_URI",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_TRACKING_SERVER_CERT_PATH",
    "MLFLOW_TRACKING_INSECURE_TLS",
    "MLFLOW_S3_ENDPOINT_URL",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "HTTPS_PROXY",
    "HTTP_PROXY",
)


def env_file(here: FolderSettings) -> Iterator[Check]:
    """The env file, if there is one."""
    if here.env_file.is_file():
        count = len(here.written)
        yield passed("env file", f"{here.env_file}, {count} value{'' if count == 1 else 's'}")
    else:
        yield passed("env file", f"{here.env_file} does not exist; the environment and the defaults apply")


def env_file_mode(here: FolderSettings) -> Iterator[Check]:
    """Others cannot read an env file that holds secrets."""
    name = "env file's mode"
    secret = [key for key, value in here.written.items() if looks_secret(key, value)]
    if not secret:
        yield skipped(name, "it holds no secrets")
        return
    mode = here.env_file.stat().st_mode & 0o777
    if mode & 0o077:
        yield failed(name, f"{mode:o}: others can read {', '.join(secret)}", f"chmod 600 {here.env_file}")
    else:
        yield passed(name, f"{mode:o}: nobody else can read its secrets")


def values(here: FolderSettings) -> Iterator[Check]:
    """Each setting and where it comes from."""
    config = here.config
    for name in _ALWAYS:
        default = "" if config is None else {_ALWAYS[0]: config.tracking_uri}.get(name, config.experiment_name)
        yield passed(name, f"{here.value(name) or default} ({here.source(name)})")
    for name in _WHERE_SET:
        value = here.value(name)
        if value is not None:
            shown = "***" if is_secret_variable(name, value) else value
            yield passed(name, f"{shown} ({here.source(name)})")


def address(here: FolderSettings) -> Iterator[Check]:
    """The tracking address is valid."""
    if here.fault is not None:
        where = here.env_file if here.source(_ALWAYS[0]) == str(here.env_file) else "the environment"
        yield failed("address", here.fault, f"correct it in {where}, or start a server: {here.server_command('up')}")
    elif here.config is not None:
        yield passed("address", f"runs go to {here.config.shown}")
