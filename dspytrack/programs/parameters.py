"""An optimizer's own parameters, checked against the signatures of its class: names, nearest names, types."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from pydantic import ConfigDict, PydanticSchemaGenerationError, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic_core import SchemaError

from dspytrack.errors import ConfigError, did_you_mean

_ANY_CLASS = ConfigDict(arbitrary_types_allowed=True)
_PLAIN = (bool, int, float, str)


def parameters_of(function: Callable[..., Any], without: set[str]) -> dict[str, Any]:
    """The parameters that a function takes by name, each with its type (Any where it says none).

    Args:
        function: a constructor or method.
        without: names that somebody else supplies.
    """
    try:
        hints = get_type_hints(function)
    except (NameError, TypeError):  # a name that is only there for type checkers
        hints = {}
    variable = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    found = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name != "self" and parameter.kind not in variable and parameter.name not in without:
            like_default = type(parameter.default) if type(parameter.default) in _PLAIN else Any
            found[parameter.name] = hints.get(parameter.name, like_default)
    return found


def check_parameters(
    given: Mapping[str, Any], known: Mapping[str, Any], supplied: set[str], key: str, owner: str
) -> None:
    """See that each parameter exists and has the type that it is to have.

    Args:
        given: as in the config file.
        known: names and types, from `parameters_of`.
        supplied: names that the run gives itself.
        key: where they stand in the config file.
        owner: whose they are, for the sentence.

    Raises:
        ConfigError: for the first one that is wrong, with the nearest known name.
    """
    for name, value in given.items():
        if name not in known:
            why = "is supplied by the run" if name in supplied else "is no parameter of it"
            raise ConfigError(f"`{name}` {why} ({owner}).{did_you_mean(name, known)}", key=f"{key}.{name}")
        try:
            TypeAdapter(known[name], config=_ANY_CLASS).validate_python(value, strict=True)
        except (PydanticSchemaGenerationError, PydanticUserError, SchemaError):
            continue  # a type of DSPy's own: its constructor will say
        except ValidationError as error:
            expected = getattr(known[name], "__name__", str(known[name]))
            raise ConfigError(
                f"expected {expected} ({error.errors()[0]['msg'].lower()}), not {value!r}", key=f"{key}.{name}"
            ) from error
