"""A program packed as files and unpacked safely: the JSON state is what is loaded, checksums first, never a pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dspytrack.config.masking import masked
from dspytrack.errors import UsageError
from dspytrack.record.checksum import sha256_of

if TYPE_CHECKING:
    import dspy

NAME = "optimized_model"


def spec_file(name: str) -> str:
    """The file that says how a program of that name is built again: `program.json` for the run's own."""
    return "program.json" if name == NAME else f"{name}_program.json"


def pack(
    program: dspy.Module, folder: Path, name: str, metadata: Mapping[str, Any], program_spec: Mapping[str, Any]
) -> None:
    """Write a program as `<name>.json` (its state), `<name>.pkl`, its spec (`spec_file`) and `<name>_metadata.json`.

    The pickle is for programs that expect one; dspytrack never loads it. LMs are left out: they hold keys.

    Args:
        program: what to pack.
        folder: where to; made where it is missing.
        name: of the files.
        metadata: facts of the run; checksums are added.
        program_spec: the request's `program`, `lm` and `inputs`, enough to build the program again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    bare = program.deepcopy()
    bare.set_lm(None)
    files = [f"{name}.json", spec_file(name)]
    _write(folder / files[0], bare.dump_state(json_mode=True))
    _write(folder / files[1], program_spec)
    notes = dict(metadata)
    pickled, why_not = _pickled(bare)
    if pickled is not None:
        (folder / f"{name}.pkl").write_bytes(pickled)
        files.append(f"{name}.pkl")
    else:
        notes["no_pickle"] = why_not
    notes["sha256"] = {one: sha256_of(folder / one) for one in files}
    _write(folder / f"{name}_metadata.json", notes)


def _pickled(program: dspy.Module) -> tuple[bytes | None, str]:
    """A program's pickle, or why it has none: it cannot be pickled, or it holds a key."""
    import cloudpickle

    try:
        data: bytes = cloudpickle.dumps(program)
    except Exception as error:  # noqa: BLE001 - told in the metadata; whatever user code raises, the state is kept
        return None, masked(f"this program cannot be pickled: {type(error).__name__}: {error}")
    if masked(data.decode("latin-1")) != data.decode("latin-1"):
        return None, "this program holds a key or password"
    return data, ""


def load(folder: Path | str, base_dir: Path | None = None, name: str = NAME) -> dspy.Module:
    """The program in a folder, checksums verified before anything is parsed.

    The checksums come from where the files do, so an import path is not trusted either: a dspy.Module class or
    instance is taken, any other function only where its module lies under `base_dir`.

    Args:
        folder: as packed or pulled.
        base_dir: where an imported program's module is found; the working folder by default.
        name: of the files.

    Raises:
        UsageError: where a file is missing or is not what was packed, or names code that a pulled program may not call.
    """
    from dspytrack.config.schema import Program
    from dspytrack.programs.build import build_program

    folder = Path(folder)
    verify(folder, name)
    spec = Program.model_validate(spec_of(folder, name)["program"])
    program = build_program(spec, base_dir or Path.cwd(), pulled=folder)
    program.load_state(json.loads((folder / f"{name}.json").read_text(encoding="utf-8")))
    return program


def verify(folder: Path, name: str = NAME) -> dict[str, Any]:
    """The metadata of a packed program whose files are those that were packed (the pickle may be absent).

    Raises:
        UsageError: naming the file that is missing or differs.
    """
    path = folder / f"{name}_metadata.json"
    if not path.is_file():
        raise UsageError(f"{folder}: no {path.name}; expected a folder written by `dspytrack model pull`")
    metadata: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    sums = metadata.get("sha256") or {}
    for one in (f"{name}.json", spec_file(name)):
        if one not in sums:
            raise UsageError(f"{path}: holds no checksum of {one}; it is not loaded")
    for one, expected in sums.items():
        if not (folder / one).is_file():
            if one.endswith(".pkl"):
                continue
            raise UsageError(f"{folder / one}: missing")
        if sha256_of(folder / one) != expected:
            raise UsageError(f"{folder / one}: its sha256 is not the one in the metadata; it is not loaded")
    return metadata


def spec_of(folder: Path, name: str = NAME) -> dict[str, Any]:
    """How a packed program is built again: its `program`, `lm` and `inputs`."""
    found: dict[str, Any] = json.loads((folder / spec_file(name)).read_text(encoding="utf-8"))
    return found


def how_to_load(folder: Path, run_id: str) -> str:
    """The README of a pulled program, in Markdown."""
    lines = [f"The program of run {run_id}. To load it from Python:", "", "```python"]
    lines += ["from dspytrack import load_model", f'program = load_model("{folder.name}")', "```"]
    imported = spec_of(folder)["program"].get("import")
    if imported is not None:
        module = imported.partition(":")[0]
        lines += ["", f"Its code is yours: `{module}` has to be importable, from the working folder for example."]
        lines += ["A function that makes a `dspy.Module` is called only from there, or from `load_model`'s `base_dir`."]
    return "\n".join([*lines, ""])


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n", encoding="utf-8")
