"""This machine: versions, permissions of the records, disk space, Docker."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from urllib.parse import unquote, urlparse

from dspytrack import __version__
from dspytrack.doctor.check import Check, Place, failed, passed, skipped
from dspytrack.errors import DspytrackError
from dspytrack.record.store import RUNS_DIR
from dspytrack.server.compose.engine import Engine
from dspytrack.server.settings import Wish, data_folder, resolve

LEAST_FREE_BYTES = 100_000_000
_DOCKER_SECONDS = 5


def versions(place: Place) -> Iterator[Check]:
    """Of what a run is made of."""
    dspy, mlflow = version("dspy"), version("mlflow")
    yield passed(
        "versions", f"Python {platform.python_version()}, dspytrack {__version__}, dspy {dspy}, mlflow {mlflow}"
    )


def records(place: Place) -> Iterator[Check]:
    """Records can be written, and by nobody else."""
    folder = next((one for one in (RUNS_DIR, RUNS_DIR.parent) if one.is_dir()), Path())
    shown = f"{RUNS_DIR.parent} is not here yet" if folder == Path() else str(folder)
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        whose = f"it belongs to the user with number {folder.stat().st_uid}"
        yield failed("records", f"{shown} may not be written: {whose}", f"sudo chown -R $USER {folder.resolve()}")
        return
    open_to_all = [one for one in (RUNS_DIR.parent, RUNS_DIR) if one.is_dir() and one.stat().st_mode & 0o002]
    if open_to_all:
        yield failed("records", f"everybody may write to {open_to_all[0]}", f"chmod -R o-w {RUNS_DIR.parent}")
    else:
        yield passed("records", f"{shown}, can be written")


def disk(place: Place) -> Iterator[Check]:
    """Each disk that a run or its server writes to has room."""
    for what, folder in _folders(place):
        yield _room(what, str(folder), shutil.disk_usage(_nearest(folder)).free)
    if place.server_kind == "compose":
        yield from _volumes(place)


def docker(place: Place) -> Iterator[Check]:
    """Docker and Compose answer; a failure only where the server runs in them."""
    why = _why_no_docker()
    if why is None:
        yield passed("Docker", "it answers, with Compose")
    elif place.server_kind == "compose":
        get = "https://docs.docker.com/get-docker/"
        yield failed("Docker", why, f"start Docker ({get}), or run without it: {place.server('up', '--local')}")
    else:
        yield skipped("Docker", f"{why}; not needed: no server of this folder runs in it")


def has_docker() -> bool:
    """Whether `server up` can use Docker."""
    return _why_no_docker() is None


def _why_no_docker() -> str | None:
    asked = {"the Docker daemon does not answer": ["version"], "Docker has no Compose plugin": ["compose", "version"]}
    for lack, command in asked.items():
        try:
            done = subprocess.run(["docker", *command], capture_output=True, timeout=_DOCKER_SECONDS, check=False)
        except FileNotFoundError:
            return "Docker is not installed"
        except subprocess.TimeoutExpired:
            return f"the Docker daemon does not answer within {_DOCKER_SECONDS} s"
        if done.returncode != 0:
            return lack
    return None


def _folders(place: Place) -> Iterator[tuple[str, Path]]:
    yield "records", RUNS_DIR.parent
    location = place.config.artifact_location if place.config is not None else None
    if location is not None and urlparse(location).scheme in ("", "file"):
        yield "artifacts", Path(unquote(urlparse(location).path))
    if place.server_kind == "local":
        server = data_folder(place.env_file)
        yield "server", server
        if not place.value("MLFLOW_ARTIFACTS_DESTINATION"):
            yield "server's artifacts", server / "artifacts"


def _volumes(place: Place) -> Iterator[Check]:
    """The volumes of the containers, asked from inside."""
    engine = Engine(resolve(Wish(env_file=place.env_file), "compose"))
    for service, folder in (("mlflow", "/mlflow"), ("postgres", "/var/lib/postgresql/data")):
        try:
            line = engine.compose("exec", "-T", service, "df", "-Pk", folder).splitlines()[-1]
        except DspytrackError:  # that it does not run is another check's to say
            yield skipped(f"disk: {service}", "the container does not answer")
            continue
        yield _room(service, f"{folder} in the container", int(line.split()[3]) * 1024)


def _room(what: str, where: str, free: int) -> Check:
    shown = f"{free / 1e9:.1f} GB" if free >= 1e9 else f"{free / 1e6:.0f} MB"
    if free < LEAST_FREE_BYTES:
        need = f"{LEAST_FREE_BYTES / 1e6:.0f} MB"
        return failed(f"disk: {what}", f"{shown} free at {where}", f"free {need} or more there: df -h {where}")
    return passed(f"disk: {what}", f"{shown} free at {where}")


def _nearest(folder: Path) -> Path:
    """The folder, or what is there of it."""
    return next(one for one in (folder.absolute(), *folder.absolute().parents) if one.is_dir())
