"""A packed program run on rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dspytrack.config.masking import masked
from dspytrack.errors import UsageError, did_you_mean
from dspytrack.programs.outputs import plain
from dspytrack.programs.package import load, spec_of


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
