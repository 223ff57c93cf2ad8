"""A run's model on its way to MLflow and back: packed and sent, downloaded and verified.

What the files are, and how they become a program again, is `programs/package.py`'s.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dspytrack.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    import dspy
    from mlflow import MlflowClient

_FILE_NAME = re.compile(r"[\w-][\w.-]*")


class PulledModel(NamedTuple):
    """A program that was downloaded: the MLflow id of its run, and the folder it is in."""

    run_id: str
    folder: Path


def check_empty(folder: Path) -> None:
    """See that a model can be written to a folder.

    Raises:
        UsageError: where the folder is not empty or cannot be read.
    """
    with _written_to(folder):
        if folder.exists() and any(folder.iterdir()):
            raise UsageError(f"{folder} is not empty; choose another folder")


def pull(client: MlflowClient, run_id: str, out: Path) -> PulledModel:
    """Download a run's model into a folder, verified and without its pickle.

    Raises:
        NotFoundError: where the run has no model.
        UsageError: where the folder cannot be written, or a file is not what was packed.
    """
    from dspytrack.programs.package import NAME, how_to_load, spec_file, verify

    with tempfile.TemporaryDirectory() as folder:
        got = download(client, run_id, NAME, Path(folder))
        verify(got)
        names = (f"{NAME}.json", f"{NAME}_metadata.json", spec_file(NAME))
        files = {name: (got / name).read_bytes() for name in names}
    with _written_to(out):
        out.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (out / name).write_bytes(data)
        verify(out)
        (out / "README.md").write_text(how_to_load(out, run_id), encoding="utf-8")
    return PulledModel(run_id, out)


def download(client: MlflowClient, run_id: str, name: str, folder: Path) -> Path:
    """Download a run's `models/` into a folder; the folder that they are in.

    Raises:
        NotFoundError: where the run has no model of that name.
    """
    if f"models/{name}_metadata.json" not in {item.path for item in client.list_artifacts(run_id, "models")}:
        status = client.get_run(run_id).data.tags.get("status", "")
        raise NotFoundError(f"this run has no model `{name}`: {run_id}{f' ({status})' if status else ''}")
    return Path(client.download_artifacts(run_id, "models", str(folder)))


@contextmanager
def packed(program: dspy.Module, name: str, metadata: Mapping[str, Any], spec: Mapping[str, Any]) -> Iterator[Path]:
    """A temporary folder with a program's files, once the program is seen to load from them as it is.

    Args:
        program: what to pack.
        name: of the files.
        metadata: facts to keep beside it.
        spec: what builds the program again.

    Raises:
        UsageError: where files cannot have this name, or the program would not come back as it is.
    """
    from dspytrack.programs.package import pack
    from dspytrack.programs.rebuild import check_loads

    if not _FILE_NAME.fullmatch(name) or name == "program":
        raise UsageError(f"artifact_name: `{name}` cannot be the name of a model's files")
    with tempfile.TemporaryDirectory() as folder:
        pack(program, Path(folder), name, metadata, spec)
        check_loads(program, Path(folder), name)
        yield Path(folder)


@contextmanager
def _written_to(folder: Path) -> Iterator[None]:
    """What the machine has against a folder, as the mistake of whoever named it."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror}; choose another folder") from error
