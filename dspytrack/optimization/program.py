"""A request's program -> dspy.Module."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dspytrack.errors import ConfigError
from dspytrack.optimization.imports import import_object
from dspytrack.request import Program

if TYPE_CHECKING:
    import dspy


TAKEN_IN_CALLS = {"demos", "config", "lm", "signature", "new_signature", "completions"}
"""Arguments that a dspy.Predict keeps for itself: an input of such a name never reaches the prompt."""

_TAKEN_IN_DEMOS = {"base", "self", "augmented"}  # a demo is written as Example(augmented=True, **inputs, **outputs)


def build_program(spec: Program, base_dir: Path) -> dspy.Module:
    """Build the program that a request names.

    Raises:
        ConfigError: with the key, where the signature does not parse or names a field as DSPy names an argument of its
            own, or the import gives no module.
    """
    imported = spec.import_ is not None
    program = _imported(spec, base_dir) if imported else _from_signature(spec, base_dir)
    for predictor in program.predictors():
        inputs, outputs = set(predictor.signature.input_fields), set(predictor.signature.output_fields)
        for name in sorted(inputs & TAKEN_IN_CALLS | (inputs | outputs) & _TAKEN_IN_DEMOS):
            raise ConfigError(
                f"the field `{name}` would be lost: DSPy keeps that name for itself; rename it",
                key="program.import" if imported else "program.signature",
            )
    return program


def _imported(spec: Program, base_dir: Path) -> dspy.Module:
    import dspy

    assert spec.import_ is not None
    found = import_object(spec.import_, base_dir, "program.import")
    if not isinstance(found, dspy.Module):
        if not callable(found):
            raise ConfigError(
                f"`{spec.import_}` is a {type(found).__name__}; expected a dspy.Module class, factory or instance",
                key="program.import",
            )
        try:
            found = found(**spec.params)
        except (Exception, SystemExit) as error:
            raise ConfigError(
                f"`{spec.import_}` cannot be called: {type(error).__name__}: {error}", key="program.import"
            ) from error
    if not isinstance(found, dspy.Module):
        raise ConfigError(f"`{spec.import_}` gave a {type(found).__name__}, not a dspy.Module", key="program.import")
    if not found.predictors():
        raise ConfigError(f"`{spec.import_}` has no predictor to optimize", key="program.import")
    return found.deepcopy()  # an instance is the user's own, and so may be what a factory gives


def _from_signature(spec: Program, base_dir: Path) -> dspy.Module:
    import dspy

    try:
        signature: Any = dspy.Signature(spec.signature, spec.instructions)
    except (ValueError, SyntaxError, TypeError, NameError) as error:
        raise ConfigError(f"no signature, such as `text -> label: str`: {error}", key="program.signature") from error
    if spec.module == "react":
        tools = [import_object(tool, base_dir, "program.tools") for tool in spec.tools]
        return dspy.ReAct(signature, tools=tools, **spec.params)
    module = {"predict": dspy.Predict, "chain_of_thought": dspy.ChainOfThought}[spec.module]
    return module(signature, **spec.params)


def output_fields(program: dspy.Module) -> set[str]:
    """Every output field of every predictor; a program's own Prediction may have more."""
    return {name for predictor in program.predictors() for name in predictor.signature.output_fields}
