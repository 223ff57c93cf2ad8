"""Checks of this machine: versions, permissions of the records, disk space, Docker."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from urllib.parse import unquote, urlparse

from rich.filesize import decimal

from dspytrack import __version__
from dspytrack.doctor.check import Check, failed, passed, skipped
from dspytrack.doctor.folder_settings import FolderSettings
from dspytrack.errors import DspytrackError
from dspytrack.record.store import RUNS_DIR
from dspytrack.server.compose.project import GET_DOCKER, ComposeProject, docker_fault
from dspytrack.server.settings import ServerOptions, data_folder, resolve

LEAST_FREE_BYTES = 100_000_000


def versions(here: FolderSettings) -> Iterator[Check]:
    """The versions that a run depends on."""
    dspy, mlflow = version("dspy"), version("mlflow")
    yield passed(
        "versions", f"Python {platform.python_version()}, dspytrack {__version__}, dspy {dspy}, mlflow {mlflow}"
    )


def records(here: FolderSettings) -> Iterator[Check]:
    """Records can be written, and only by this user."""
    folder = next((one for one in (RUNS_DIR, RUNS_DIR.parent) if one.is_dir()), Path())
    shown = f"{RUNS_DIR.parent} does not exist yet" if folder == Path() else str(folder)
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        whose = f"it belongs to the user with id {folder.stat().st_uid}"
        yield failed("records", f"{shown} cannot be written: {whose}", f"sudo chown -R $USER {folder.resolve()}")
        return
    open_to_all = [one for one in (RUNS_DIR.parent, RUNS_DIR) if one.is_dir() and one.stat().st_mode & 0o002]
    if open_to_all:
        yield failed("records", f"everyone may write to {open_to_all[0]}", f"chmod -R o-w {RUNS_DIR.parent}")
    else:
        yield passed("records", f"{shown}, can be written")


def disk(here: FolderSettings) -> Iterator[Check]:
    """Each disk that a run or its server writes to has room."""
    for what, folder in _folders(here):
        yield _room(what, str(folder), shutil.disk_usage(_nearest(folder)).free)
    if here.server_kind == "compose":
        yield from _volumes(here)


def docker(here: FolderSettings) -> Iterator[Check]:
    """Docker and Compose answer; a failure only where the server runs in them."""
    fault = docker_fault()
    if fault is None:
        yield passed("Docker", "it answers, with Compose")
    elif here.server_kind == "compose":
        without = here.server_command("up", "--local")
        yield failed("Docker", fault, f"get or start Docker ({GET_DOCKER}), or run without it: {without}")
    else:
        yield skipped("Docker", f"{fault}; not needed: this folder's server does not use it")


def _folders(here: FolderSettings) -> Iterator[tuple[str, Path]]:
    yield "records", RUNS_DIR.parent
    location = here.config.artifact_location if here.config is not None else None
    if location is not None and urlparse(location).scheme in ("", "file"):
        yield "artifacts", Path(unquote(urlparse(location).path))
    if here.server_kind == "local":
        server = data_folder(here.env_file)
        yield "server", server
        if not here.value("MLFLOW_ARTIFACTS_DESTINATION"):
            yield "server's artifacts", server / "artifacts"


def _volumes(here: FolderSettings) -> Iterator[Check]:
    """The volumes of the containers, seen from inside."""
    project = ComposeProject(resolve(ServerOptions(env_file=here.env_file), "compose"))
    for service, folder in (("mlflow", "/mlflow"), ("postgres", "/var/lib/postgresql/data")):
        try:
            line = project.run("exec", "-T", service, "df", "-Pk", folder).splitlines()[-1]
        except DspytrackError:  # that it does not run is for another check to say
            yield skipped(f"disk: {service}", "the container does not answer")
            continue
        yield _room(service, f"{folder} in the container", int(line.split()[3]) * 1024)


def _room(what: str, where: str, free: int) -> Check:
    detail = f"{decimal(free)} free at {where}"
    if free < LEAST_FREE_BYTES:
        return failed(f"disk: {what}", detail, f"free {decimal(LEAST_FREE_BYTES)} or more there: df -h {where}")
    return passed(f"disk: {what}", detail)


def _nearest(folder: Path) -> Path:
    """The folder, or its nearest parent that exists."""
    return next(one for one in (folder.absolute(), *folder.absolute().parents) if one.is_dir())
