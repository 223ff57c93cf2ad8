"""What the request's types say about the path of a setting: known keys, whether it holds text, the marks it carries."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from dspytrack.config.base import Mark
from dspytrack.config.keys import Loc
from dspytrack.config.schema import OptimizationRequest


def keys_at(loc: Loc) -> list[str]:
    """The keys that are known at a path."""
    for model in _models(_at(loc)):
        return [field.alias or name for name, field in model.model_fields.items()]
    return []


def is_text(loc: Loc) -> bool:
    """Whether a path holds text (or null) and no other kind of value."""
    kinds = [one for one in _options(_at(loc)) if one is not type(None)]
    return bool(kinds) and all(one is str or get_origin(one) is Literal for one in kinds)


def may_be_null(loc: Loc) -> bool:
    """Whether a path may hold null."""
    return type(None) in _options(_at(loc))


def is_marked(loc: Loc, mark: Mark) -> bool:
    """Whether the field at a path carries a mark, or a section on the way to it does."""
    annotation: Any = OptimizationRequest
    for part in loc:
        if any(mark in field.metadata for field in _fields(annotation, part)):
            return True
        annotation = next(_below(annotation, part), Any)
    return False


def _at(loc: Loc) -> Any:
    annotation: Any = OptimizationRequest
    for part in loc:
        annotation = next(_below(annotation, part), Any)
    return annotation


def _below(annotation: Any, part: str | int) -> Iterator[Any]:
    """The types one step further down; a list of sections may be written as one section."""
    yield from (field.annotation for field in _fields(annotation, part))
    for option in _options(annotation):
        origin, inner = get_origin(option), get_args(option)
        if origin is list:
            yield from inner if isinstance(part, int) else _below(inner[0], part)
        elif origin is dict:
            yield inner[1]


def _fields(annotation: Any, part: str | int) -> Iterator[FieldInfo]:
    """The fields that a key names in the sections a type stands for."""
    for option in _options(annotation):
        if _is_section(option):
            yield from (field for name, field in option.model_fields.items() if part == (field.alias or name))


def _options(annotation: Any) -> list[Any]:
    """The types that a value may have, without their metadata."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _options(inner[0])
    if origin in (Union, types.UnionType):
        return [option for one in inner for option in _options(one)]
    return [annotation]


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    for option in _options(annotation):
        if _is_section(option):
            yield option
        elif get_origin(option) is list:
            yield from _models(get_args(option)[0])


def _is_section(option: Any) -> bool:
    return isinstance(option, type) and issubclass(option, BaseModel)
