"""The Kubernetes files of a tracking server: copied out of the package, for one version of MLflow.

Owns which image tag they carry and that nobody's edits are overwritten. What they say is theirs, in
`kubernetes/` and `helm-values.yaml`; applying them is left to kubectl and Helm.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from dspytrack.errors import UsageError

if sys.version_info >= (3, 11):
    from importlib.resources.abc import Traversable
else:
    from importlib.abc import Traversable

# The version in the shipped files, as a tag and, with dashes, in the name of the migration Job.
SHIPPED_VERSION = "3.17.2"


def write_kubernetes(out: Path, mlflow_version: str | None = None) -> list[Path]:
    """Copy the Kustomize tree into the folder `out`, for `mlflow_version` or else the installed MLflow.

    A file that is there already and the same is left as it is; all are checked before the first is written.

    Raises:
        UsageError: for a version that is no release, for a file that would be overwritten with
            something else, or where `out` cannot be written.
    """
    release = _release(mlflow_version)
    tree = _tree(files("dspytrack.server.kubernetes") / "files")
    return _write({out / name: _for_release(text, release) for name, text in tree})


def write_helm_values(out: Path, mlflow_version: str | None = None) -> Path:
    """Write helm-values.yaml into the folder `out`, for `mlflow_version` or else the installed MLflow.

    Raises:
        UsageError: as `write_kubernetes` does.
    """
    text = (files("dspytrack.server.kubernetes") / "helm-values.yaml").read_text(encoding="utf-8")
    return _write({out / "helm-values.yaml": _for_release(text, _release(mlflow_version))})[0]


def _release(mlflow_version: str | None) -> str:
    # An image exists for releases and their candidates only; a tag that is none would not start.
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


def _write(contents: dict[Path, str]) -> list[Path]:
    try:
        missing = [path for path, text in contents.items() if not _is_written(path, text)]
        for path in missing:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(contents[path], encoding="utf-8", newline="\n")
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be written: {error.strerror}") from error
    return list(contents)


def _is_written(path: Path, text: str) -> bool:
    if not path.exists():
        return False
    if path.read_bytes() != text.encode():
        raise UsageError(f"{path} is there with another content: write to another folder, or remove it first")
    return True
