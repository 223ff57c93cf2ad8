"""The files of a server that is run without dspytrack, by kind: who writes each, and the command that uses them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from dspytrack.errors import UsageError
from dspytrack.server.compose.manifests import MAIN_FILE, write_compose
from dspytrack.server.kubernetes.manifests import HELM_VALUES, write_helm_values, write_kubernetes

ManifestKind = Literal["compose", "kubernetes", "helm-values"]


class Manifests(NamedTuple):
    """Files that were written, and the command that uses the last kind of them."""

    files: list[Path]
    next_command: str


class _Writer(NamedTuple):
    write: Callable[[Path], list[Path]]
    next_command: Callable[[Path], str]


_WRITERS: Mapping[ManifestKind, _Writer] = {
    "compose": _Writer(write_compose, lambda out: f"docker compose -f {out / MAIN_FILE.name} up -d"),
    "kubernetes": _Writer(write_kubernetes, lambda out: f"kubectl apply -k {out}"),
    "helm-values": _Writer(
        write_helm_values, lambda out: f"helm upgrade --install mlflow CHART -f {out / HELM_VALUES}"
    ),
}


def write_manifests(kinds: Sequence[ManifestKind], out: Path) -> Manifests:
    """Write the files of each kind into a folder.

    Raises:
        UsageError: where no kind is named, for a file that would be overwritten with something else, or where one
            cannot be written.
    """
    if not kinds:
        raise UsageError(f"name what to write: {', '.join(f'--{kind}' for kind in _WRITERS)}")
    files = [file for kind in kinds for file in _WRITERS[kind].write(out)]
    return Manifests(files, _WRITERS[kinds[-1]].next_command(out))
