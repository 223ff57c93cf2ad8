"""The configuration: is there one, where does each value come from, may others read its secrets."""

from __future__ import annotations

from collections.abc import Iterator

from dspytrack.config.secrets import is_secret_variable, looks_secret
from dspytrack.doctor.check import SECRETS_SHOWN, Check, Place, failed, passed, skipped

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


def env_file(place: Place) -> Iterator[Check]:
    """The file with the settings."""
    if place.env_file.is_file():
        count = len(place.written)
        yield passed("env file", f"{place.env_file}, {count} value{'' if count == 1 else 's'}")
    else:
        yield passed("env file", f"{place.env_file} is not here; the environment and the defaults count")


def secrets_kept(place: Place) -> Iterator[Check]:
    """Others must not read a file that holds secrets."""
    name = "env file's mode"
    secret = [key for key, value in place.written.items() if looks_secret(key, value)]
    if not secret:
        yield skipped(name, "there are no secrets in it")
        return
    mode = place.env_file.stat().st_mode & 0o777
    if mode & 0o077:
        yield failed(name, f"{mode:o}: others may read {', '.join(secret)}", f"chmod 600 {place.env_file}")
    else:
        yield passed(name, f"{mode:o}: nobody else reads the secrets in it")


def values(place: Place) -> Iterator[Check]:
    """Each setting and where it comes from."""
    config = place.config
    for name in _ALWAYS:
        default = "" if config is None else {_ALWAYS[0]: config.tracking_uri}.get(name, config.experiment_name)
        yield passed(name, f"{place.value(name) or default} ({place.source(name)})")
    for name in _WHERE_SET:
        value = place.value(name)
        if value is not None:
            yield passed(name, f"{SECRETS_SHOWN if is_secret_variable(name, value) else value} ({place.source(name)})")


def address(place: Place) -> Iterator[Check]:
    """The tracking address can be one."""
    if place.fault is not None:
        where = place.env_file if place.source(_ALWAYS[0]) == str(place.env_file) else "the environment"
        yield failed("address", place.fault, f"correct it in {where}, or start a server: {place.server('up')}")
    elif place.config is not None:
        yield passed("address", f"runs go to {place.config.shown}")
