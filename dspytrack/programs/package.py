"""A program packed as files and unpacked safely: the JSON state is what is loaded, checksums first, never a pickle."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from dspytrack.config.masking import masked
from dspytrack.errors import UsageError, did_you_mean
from dspytrack.programs.outputs import plain
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
    lines += ["from dspytrack.programs.package import load", f'program = load("{folder.name}")', "```"]
    imported = spec_of(folder)["program"].get("import")
    if imported is not None:
        module = imported.partition(":")[0]
        lines += ["", f"Its code is yours: `{module}` has to be importable, from the working folder for example."]
        lines += ["What is no `dspy.Module` but makes one is called only from there, or from `load`'s `base_dir`."]
    return "\n".join([*lines, ""])


def predict(
    folder: Path,
    rows: Iterable[Mapping[str, Any] | str],
    base_dir: Path | None = None,
    failed: Callable[[Exception], None] = lambda _: None,
) -> Iterator[dict[str, Any]]:
    """Run a packed program on rows: plain JSON data for each; a row that fails gives {"error": …}.

    Args:
        folder: as packed or pulled.
        rows: the inputs by name, or as a line of JSON.
        base_dir: where an imported program's module is found; the working folder by default.
        failed: is given the reason of each row that fails.

    Raises:
        UsageError: where the folder does not verify, the LM cannot be built, or the rows are no text in UTF-8.
    """
    import dspy

    from dspytrack.config.schema import LM
    from dspytrack.lm.build import adapter_for, build_lm
    from dspytrack.lm.metering.dspy_hooks import metering
    from dspytrack.lm.metering.meter import Meter

    program = load(folder, base_dir)
    spec = spec_of(folder)
    if spec["lm"] is None:
        raise UsageError(f"{folder}: it was saved without an LM; load it from Python and set one")
    lm_spec = LM.model_validate(spec["lm"])
    with (
        TemporaryDirectory() as own,
        metering(Path(own) / "responses.jsonl", Meter()),
        dspy.context(lm=build_lm(lm_spec), adapter=adapter_for(lm_spec)),
    ):
        for row in _read(rows):
            try:
                found = plain(program(**_fields(row, spec["inputs"])))
            except UsageError as error:
                failed(error)
                found = {"error": str(error)}
            except Exception as error:  # noqa: BLE001 - one row's failure is that row's answer
                failed(error)
                found = {"error": masked(f"{type(error).__name__}: {error}")}
            yield found


def _read(rows: Iterable[Mapping[str, Any] | str]) -> Iterator[Mapping[str, Any] | str]:
    try:
        yield from rows
    except UnicodeDecodeError as error:
        raise UsageError(f"the rows are not UTF-8: {error}") from error


def _fields(row: Mapping[str, Any] | str, inputs: Sequence[str]) -> dict[str, Any]:
    """The inputs of one row.

    Raises:
        UsageError: where it is no JSON object, or lacks one.
    """
    try:
        fields = json.loads(row) if isinstance(row, str) else row
    except json.JSONDecodeError as error:
        raise UsageError(f"not JSON: {error}") from error
    if not isinstance(fields, Mapping):
        raise UsageError(f"expected a JSON object, not {type(fields).__name__}")
    missing = [name for name in inputs if name not in fields]
    if missing:
        raise UsageError(f"the row has no `{missing[0]}`.{did_you_mean(missing[0], fields)}")
    return {name: fields[name] for name in inputs}


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n", encoding="utf-8")
