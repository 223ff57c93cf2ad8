"""What may stand at a place of the request, read off its types: keys that are known there, and whether text is."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from dspytrack.config.schema import OptimizationRequest
from dspytrack.config.secrets import Loc


def keys_at(loc: Loc) -> list[str]:
    """The keys that may stand at a place."""
    for model in _models(_at(loc)):
        return [field.alias or name for name, field in model.model_fields.items()]
    return []


def is_text(loc: Loc) -> bool:
    """Whether a place holds text (or nothing) and no other kind of value."""
    kinds = [one for one in _options(_at(loc)) if one is not type(None)]
    return bool(kinds) and all(one is str or get_origin(one) is Literal for one in kinds)


def may_be_null(loc: Loc) -> bool:
    """Whether a place may hold nothing."""
    return type(None) in _options(_at(loc))


def _at(loc: Loc) -> Any:
    annotation: Any = OptimizationRequest
    for part in loc:
        annotation = next(_below(annotation, part), Any)
    return annotation


def _below(annotation: Any, part: str | int) -> Iterator[Any]:
    """The types one step further down; a list of parts may be written as one part."""
    for option in _options(annotation):
        origin, inner = get_origin(option), get_args(option)
        if isinstance(option, type) and issubclass(option, BaseModel):
            fields = option.model_fields.items()
            yield from (field.annotation for name, field in fields if part == (field.alias or name))
        elif origin is list:
            yield from inner if isinstance(part, int) else _below(inner[0], part)
        elif origin is dict:
            yield inner[1]


def _options(annotation: Any) -> list[Any]:
    """The types a place may have, without what is said about them."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _options(inner[0])
    if origin in (Union, types.UnionType):
        return [option for one in inner for option in _options(one)]
    return [annotation]


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    for option in _options(annotation):
        if isinstance(option, type) and issubclass(option, BaseModel):
            yield option
        elif get_origin(option) is list:
            yield from _models(get_args(option)[0])
