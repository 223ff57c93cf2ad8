"""What builds a program again that comes from no request: its signature with its types, or an import path, tried."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dspytrack.errors import UsageError

if TYPE_CHECKING:
    import dspy

_GIVE = "give program_import='module:name', the import path of a class, factory or instance that builds it"


def spec_for(program: dspy.Module, program_import: str | None = None) -> dict[str, Any]:
    """What builds a program again: an import path that is given, its signature, or its class by import path.

    Args:
        program: what is to be built again.
        program_import: `module:name` of a dspy.Module class, factory or instance.

    Raises:
        UsageError: where its class cannot be imported, or it has no predictor.
    """
    import dspy

    if not program.predictors():
        raise UsageError(f"{type(program).__qualname__} has no predictor; there is nothing to keep of it")
    first = program.predictors()[0]
    kinds = {dspy.Predict: "predict", dspy.ChainOfThought: "chain_of_thought"}
    found: dict[str, Any]
    if program_import is not None:
        found = {"import": program_import}
    elif type(program) in kinds:
        found = {"signature": _as_text(first.signature, "reasoning" if type(program) is dspy.ChainOfThought else "")}
        found |= {"instructions": first.signature.instructions, "module": kinds[type(program)], "params": first.config}
    else:
        kind = type(program)
        if kind.__module__ == "__main__" or "<locals>" in kind.__qualname__:
            raise UsageError(
                f"{kind.__qualname__} cannot be imported again; put it into a module of its own, or {_GIVE}"
            )
        found = {"import": f"{kind.__module__}:{kind.__qualname__}"}
    return {"program": found, "lm": None, "inputs": list(first.signature.input_fields)}


def check_loads(program: dspy.Module, folder: Path, name: str) -> None:
    """See that a program which was packed comes back from its files as it was.

    Args:
        program: as it was packed.
        folder: where to.
        name: of the files.

    Raises:
        UsageError: with what to give instead.
    """
    from dspytrack.programs.package import load

    kind = type(program).__qualname__
    try:
        again = load(folder, name=name)
    except Exception as error:
        raise UsageError(f"this {kind} cannot be built again from its files: {error}; {_GIVE}") from error
    before, after = _shape(program), _shape(again)
    for predictor in sorted(before.keys() | after.keys()):
        if before.get(predictor) != after.get(predictor):
            raise UsageError(f"this {kind} comes back with another `{predictor}` from its files; {_GIVE}")


def _as_text(signature: Any, left_out: str) -> str:
    """A signature as DSPy parses it, types included."""
    sides = [
        ", ".join(_field(name, field) for name, field in fields.items() if name != left_out)
        for fields in (signature.input_fields, signature.output_fields)
    ]
    return " -> ".join(sides)


def _field(name: str, field: Any) -> str:
    from dspy.utils.constants import IS_TYPE_UNDEFINED

    if (field.json_schema_extra or {}).get(IS_TYPE_UNDEFINED):
        return name
    kind = inspect.formatannotation(field.annotation)
    if "__main__." in kind:
        raise UsageError(f"the type of `{name}`, {kind}, cannot be imported again; put it into a module of its own")
    return f"{name}: {kind}"


def _shape(program: dspy.Module) -> dict[str, Any]:
    """What of each predictor has to come back: fields in their order with their types, instructions, settings."""
    return {
        name: (
            [(field, info.annotation) for field, info in one.signature.input_fields.items()],
            [(field, info.annotation) for field, info in one.signature.output_fields.items()],
            one.signature.instructions,
            one.config,
        )
        for name, one in program.named_predictors()
    }
