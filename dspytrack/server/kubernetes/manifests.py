"""The Kubernetes files of a tracking server: copied out of the package, for one version of MLflow.

Owns which image tag they carry. Their content is in `files/` and `helm-values.yaml`; applying them is left to kubectl
and Helm.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from dspytrack.errors import UsageError
from dspytrack.server.written_files import write_files

if sys.version_info >= (3, 11):
    from importlib.resources.abc import Traversable
else:
    from importlib.abc import Traversable

# The version in the shipped files, as a tag and, with dashes, in the name of the migration Job.
SHIPPED_VERSION = "3.17.2"
HELM_VALUES = "helm-values.yaml"


def write_kubernetes(out: Path, mlflow_version: str | None = None) -> list[Path]:
    """Copy the Kustomize tree into the folder `out`, for `mlflow_version` or else the installed MLflow.

    Returns:
        The files.

    Raises:
        UsageError: for a version that is not a release, for a file that would be overwritten with something else, or
            where one cannot be written.
    """
    release = _release(mlflow_version)
    tree = _tree(files("dspytrack.server.kubernetes") / "files")
    return write_files({out / name: _for_release(text, release) for name, text in tree})


def write_helm_values(out: Path, mlflow_version: str | None = None) -> list[Path]:
    """Write helm-values.yaml into the folder `out`, for `mlflow_version` or else the installed MLflow.

    Returns:
        The file, alone in a list.

    Raises:
        UsageError: as `write_kubernetes` does.
    """
    text = (files("dspytrack.server.kubernetes") / HELM_VALUES).read_text(encoding="utf-8")
    return write_files({out / HELM_VALUES: _for_release(text, _release(mlflow_version))})


def _release(mlflow_version: str | None) -> str:
    # Images are published for releases and their candidates only; another tag would not start.
    release = mlflow_version or version("mlflow")
    if not re.fullmatch(r"\d+\.\d+\.\d+(rc\d+)?", release):
        raise UsageError(f"no image is published for MLflow {release}: give a release, such as {SHIPPED_VERSION}")
    return release


def _tree(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, str]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        name = prefix + entry.name
        if entry.is_dir():
            yield from _tree(entry, f"{name}/")
        elif name.endswith(".yaml"):
            yield name, entry.read_text(encoding="utf-8")


def _for_release(text: str, release: str) -> str:
    dashed = SHIPPED_VERSION.replace(".", "-")
    return text.replace(SHIPPED_VERSION, release).replace(dashed, release.replace(".", "-"))
