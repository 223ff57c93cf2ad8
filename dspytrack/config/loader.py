"""config.yaml -> OptimizationRequest: reads the file, applies `--set`, fills in `${VAR}`, and locates each fault.

Owns everything that knows a line number; the keys and what they mean are in `schema.py`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.scalarbool import ScalarBoolean

from dspytrack.config.interpolation import VARIABLE, filled
from dspytrack.config.keys import Loc, dotted, loc_of
from dspytrack.config.locations import is_text, keys_at, may_be_null
from dspytrack.config.schema import OptimizationRequest
from dspytrack.config.secrets import is_secret_variable, may_refer, what_to_write, written_secret
from dspytrack.errors import ConfigError, did_you_mean

_NULL = ("", "~", "null")


def load_request(
    path: Path, overrides: Iterable[str] = (), environ: Mapping[str, str] | None = None
) -> OptimizationRequest:
    """Read a config file into a checked request.

    Args:
        path: the YAML file.
        overrides: settings such as `a.b=value`, the value in YAML.
        environ: where `${VAR}` is looked up; the process environment by default.

    Raises:
        ConfigError: with file, line and key of the first fault.
    """
    document = _parse(path)
    for override in overrides:
        _apply(document, override)
    data = _fill(document, (), document, path, os.environ if environ is None else environ)
    try:
        request = OptimizationRequest.model_validate(data)
    except ValidationError as error:
        raise _explain(error, document, path) from error
    return request.placed(path.resolve().parent, path.resolve())


def line_of(path: Path, key: str) -> int | None:
    """The line of a dotted key in a config file, or of its nearest parent that is written there."""
    return _line(_parse(path), loc_of(key))


def _parse(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError("no such file; examples/quickstart/config.yaml shows one", file=path) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}", file=path) from error
    try:
        document = YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else None
        raise ConfigError(f"not valid YAML: {error.problem}", file=path, line=line) from error
    except YAMLError as error:
        raise ConfigError(f"not valid YAML: {' '.join(str(error).split())}", file=path) from error
    if not isinstance(document, dict):
        raise ConfigError("expected keys and values, such as `target: {id: my-agent}`", file=path, line=1)
    return document


def _apply(document: Any, override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"expected key=value, such as `seed=1`, not `{override}`", file="--set")
    node = document
    *parents, last = key.split(".")
    for part in parents:
        _check_index(node, part, key)
        child: Any = node[int(part)] if isinstance(node, list) else node.get(part)
        if not isinstance(child, dict | list):
            child = {}
            node[int(part) if isinstance(node, list) else part] = child
        node = child
    _check_index(node, last, key)
    value = _setting(key, text)
    if isinstance(node, list):
        node[int(last)] = value
    else:
        node[last] = value


def _setting(key: str, text: str) -> Any:
    """The value of an override, read as YAML; where text belongs, `1.10` or `true` stays text."""
    loc = loc_of(key)
    try:
        value = YAML(typ="safe").load(text)
    except YAMLError as error:
        if is_text(loc):
            return text
        raise ConfigError(f"not a YAML value: {text}", file="--set", key=key) from error
    if not is_text(loc) or isinstance(value, str) or (value is None and may_be_null(loc)):
        return value
    return text


def _check_index(node: Any, part: str, key: str) -> None:
    """Check that a list's entry is named by its number."""
    if isinstance(node, list) and not (part.isdigit() and int(part) < len(node)):
        raise ConfigError(f"expected a number below {len(node)} in place of `{part}`", file="--set", key=key)


def _fill(node: Any, loc: Loc, document: Any, path: Path, environ: Mapping[str, str]) -> Any:
    """Plain data with its variables filled in: as text where text belongs, else as YAML.

    A variable in an LM's options that holds a secret is kept as `${VAR}`: it is filled in when the LM is built.

    Raises:
        ConfigError: for a secret that is written out or would be filled in, and for a variable that is not set.
    """
    if isinstance(node, dict):
        return {str(k): _fill(v, (*loc, str(k)), document, path, environ) for k, v in node.items()}
    if isinstance(node, list):
        return [_fill(v, (*loc, i), document, path, environ) for i, v in enumerate(node)]
    where: dict[str, Any] = {"file": path, "line": _line(document, loc), "key": dotted(loc)}
    if written_secret(node, loc) is not None:
        raise ConfigError(what_to_write(loc), **where)
    if not isinstance(node, str):
        return _plain(node, where)
    refers = may_refer(loc)

    def value_of(name: str, default: str | None) -> str:
        value = environ.get(name, default)
        if not refers and is_secret_variable(name, value or ""):
            raise ConfigError(f"`${{{name}}}` would write a secret into the run; use `api_key_env: {name}`", **where)
        if value is None:
            otherwise = "" if refers else f"; `${{{name}:-default}}` gives one"
            raise ConfigError(f"the environment variable {name} is not set{otherwise}", **where)
        return value

    text = filled(node, value_of)
    if refers:
        return str(node)
    if written_secret(text, loc) is not None:
        raise ConfigError(what_to_write(loc), **where)
    if not VARIABLE.fullmatch(node) or (is_text(loc) and not (may_be_null(loc) and text.strip() in _NULL)):
        return str(text)
    try:
        return YAML(typ="safe").load(text)
    except YAMLError as error:
        raise ConfigError(f"`{node}` is not a YAML value: {text}", **where) from error


def _plain(node: Any, where: dict[str, Any]) -> Any:
    """A value of Python's own classes: ruamel's numbers are subclasses, which keep their spelling and no LM takes.

    Raises:
        ConfigError: for a kind of value that only YAML has.
    """
    if isinstance(node, ScalarBoolean):
        return bool(node)
    if isinstance(node, datetime):
        return datetime.fromisoformat(node.isoformat())
    for kind in (bool, int, float):  # a bool is an int, too
        if isinstance(node, kind):
            return node if type(node) is kind else kind(node)
    if node is None or type(node) is date:
        return node
    raise ConfigError(f"expected text, a number, true, false or null, not a {type(node).__name__} of YAML", **where)


def _line(document: Any, loc: Loc) -> int | None:
    """The line (from 1) of a path, or of its nearest parent that is written in the file."""
    node, line = document, None
    for part in loc:
        place = getattr(node, "lc", None)
        if place is None or not place.data:
            break
        in_list = isinstance(node, list) and isinstance(part, int) and part < len(node)
        if not in_list and not (isinstance(node, dict) and part in node):
            break
        found = place.data.get(part)
        if found is not None:
            line = found[0] + 1
        node = node[part]
    return line


def _explain(error: ValidationError, document: Any, path: Path) -> ConfigError:
    """The first fault as a sentence, with its place and the nearest known word."""
    faults = error.errors()
    typos = [one for one in faults if one["type"] == "extra_forbidden"]  # these explain what is missing, too
    fault = (typos or faults)[0]
    loc = tuple(fault["loc"])
    if loc and loc[0] == "optimizer" and not isinstance(document.get("optimizer"), list):
        loc = (loc[0], *loc[2:])
    line = _line(document, loc)
    kind, given = fault["type"], fault.get("input")
    if kind == "extra_forbidden":
        known = keys_at(loc[:-1])
        message = f"unknown key `{loc[-1]}`.{did_you_mean(str(loc[-1]), known)} Known here: {', '.join(known)}."
    elif kind == "missing":
        message = "is required and missing"
    elif kind == "literal_error":
        expected = fault["ctx"]["expected"]
        near = did_you_mean(str(given), re.findall(r"'([^']*)'", expected))
        message = f"expected {expected}, not {given!r}.{near}"
    else:
        text = fault["msg"].removeprefix("Value error, ")
        shown = "" if isinstance(given, dict | list) else f" (found {given!r})"
        message = text[:1].lower() + text[1:] + shown
    return ConfigError(message, file=path, line=line, key=dotted(loc) or None)


@contextmanager
def located(path: Path) -> Iterator[None]:
    """Add the file and the line to a ConfigError from inside that names only a key."""
    try:
        yield
    except ConfigError as error:
        if error.file is not None or error.key is None:
            raise
        raise ConfigError(error.message, file=path, line=line_of(path, error.key), key=error.key) from error
