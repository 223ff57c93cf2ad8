"""A request's program -> dspy.Module."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dspytrack.config.schema import Program
from dspytrack.errors import ConfigError
from dspytrack.lm.options import check_options
from dspytrack.programs.imports import import_object
from dspytrack.programs.parameters import check_parameters, parameters_of
from dspytrack.programs.trust import Pulled

if TYPE_CHECKING:
    import dspy


TAKEN_IN_CALLS = {"demos", "config", "lm", "signature", "new_signature", "completions"}
"""Arguments that a dspy.Predict keeps for itself: an input of such a name never reaches the prompt."""

_TAKEN_IN_DEMOS = {"base", "self", "augmented"}  # a demo is written as Example(augmented=True, **inputs, **outputs)


def build_program(spec: Program, base_dir: Path, pulled: Path | None = None) -> dspy.Module:
    """Build the program that a request names.

    Args:
        spec: what to build.
        base_dir: where an imported program's module is found.
        pulled: the folder that the spec comes from, where that is not the user's own: its imports are not trusted.

    Raises:
        ConfigError: with the key, where the signature does not parse or names a field as DSPy names an argument of its
            own, the import gives no module, a parameter is none, or a pulled spec names what it may not.
    """
    imported = spec.import_ is not None
    guard = None if pulled is None else Pulled(pulled, base_dir)
    program = _imported(spec, base_dir, guard) if imported else _from_signature(spec, base_dir, guard)
    for predictor in program.predictors():
        inputs, outputs = set(predictor.signature.input_fields), set(predictor.signature.output_fields)
        for name in sorted(inputs & TAKEN_IN_CALLS | (inputs | outputs) & _TAKEN_IN_DEMOS):
            raise ConfigError(
                f"the field `{name}` would be lost: DSPy keeps that name for itself; rename it",
                key="program.import" if imported else "program.signature",
            )
    return program


def _found(path: str, base_dir: Path, key: str, guard: Pulled | None) -> Any:
    """What an import path names, of a pulled program only what that may name."""
    if guard is None:
        return import_object(path, base_dir, key)
    found = import_object(path, base_dir, key, guard.check_module)
    guard.check_call(found, path)
    return found


def _imported(spec: Program, base_dir: Path, guard: Pulled | None) -> dspy.Module:
    import dspy

    assert spec.import_ is not None
    found = _found(spec.import_, base_dir, "program.import", guard)
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


def _from_signature(spec: Program, base_dir: Path, guard: Pulled | None) -> dspy.Module:
    import dspy

    if guard is not None:
        guard.check_types(spec)
    try:
        signature: Any = dspy.Signature(spec.signature, spec.instructions)
    except (ValueError, SyntaxError, TypeError, NameError) as error:
        raise ConfigError(f"no signature, such as `text -> label: str`: {error}", key="program.signature") from error
    if spec.module == "react":
        return _agent(spec, signature, base_dir, guard)
    check_options(spec.params, "program.params", beside=False)
    module = {"predict": dspy.Predict, "chain_of_thought": dspy.ChainOfThought}[spec.module]
    with _refused("program.params"):
        return module(signature, **spec.params)


def _agent(spec: Program, signature: Any, base_dir: Path, guard: Pulled | None) -> dspy.Module:
    """A dspy.ReAct, its tools imported and its parameters checked against its own."""
    import dspy

    tools = []
    for index, path in enumerate(spec.tools):
        key = f"program.tools.{index}"
        tool = _found(path, base_dir, key, guard)
        if not callable(tool):
            raise ConfigError(f"`{path}` is a {type(tool).__name__}; expected a function", key=key)
        tools.append(tool)
    supplied = {"signature", "tools"}
    check_parameters(spec.params, parameters_of(dspy.ReAct.__init__, supplied), supplied, "program.params", "react")
    with _refused("program.tools"):
        return dspy.ReAct(signature, tools=tools, **spec.params)


@contextmanager
def _refused(key: str) -> Iterator[None]:
    """What a module of DSPy's refuses, as a mistake at a key."""
    try:
        yield
    except (ValueError, TypeError, AssertionError) as error:
        raise ConfigError(" ".join(str(error).split()), key=key) from error


def output_fields(program: dspy.Module) -> set[str]:
    """Every output field of every predictor; a program's own Prediction may have more."""
    return {name for predictor in program.predictors() for name in predictor.signature.output_fields}
