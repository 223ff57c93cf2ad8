"""Secrets in settings: which places are for one by their name, and where one is written out, by name or by form.

Ordinary words are none: `max_tokens`, `author`, `monkey`, `tokenizer`, `sort_key`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from dspytrack.config.interpolation import VARIABLE
from dspytrack.config.keys import Loc, dotted
from dspytrack.config.masking import SHORTEST, has_password
from dspytrack.results.roles import LM_KEYS

_ENDINGS = re.compile(
    r"(secrets?|passw(or)?d|passphrase|credentials?|authorization|apikeys?|authkey|accesskey|privatekey|subscriptionkey"
    r"|authtoken|accesstoken|apitoken|bearertoken)$"
)
_ALONE = {"token", "pwd", "cookie", "cookies"}  # as the last word
_KINDS_OF_KEY = {"api", "auth", "access", "private", "subscription", "account", "signing", "encryption", "shared"}
_IN_HEADERS = {
    "key",
    "keys",
    "token",
    "secret",
    "auth",
    "authentication",
    "cookie",
    "cookies",
    "pwd",
    "sig",
    "signature",
}
_CONTAINERS = {"header", "headers", "query"}
_ADDRESSES = {"api_base", "base_url"}
_LM_OPTIONS = tuple(f"{key}.options." for key in LM_KEYS)
_FORMS = re.compile(
    r"\b(sk-[\w-]{16,}|AKIA[0-9A-Z]{16}|AIza[\w-]{30,}|hf_[A-Za-z0-9]{20,}|gh[pousr]_\w{20,}|github_pat_\w{20,}"
    r"|glpat-[\w-]{16,}|xox[abeoprs]-[\w-]{10,}|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]*)"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY|\bBearer (?=\S*\d|\S{20})[\w.~+/-]{8,}"
)
_BASIC = re.compile(r"\bBasic ([A-Za-z0-9+/]{6,}={0,2})(?![\w=])")


def is_secret_place(loc: Loc) -> bool:
    """Whether what stands at a place is a secret by a name on the way to it; in headers more names count."""
    names = [part for part in loc if isinstance(part, str)]
    is_strict = any(_CONTAINERS & set(_words(name)[-1:]) for name in names[:-1])
    return any(_names_secret(name, strict=is_strict) for name in names)


def may_refer(loc: Loc) -> bool:
    """Whether a secret place takes `${VAR}`: it stays as it is written, and only the LM that is built has the value."""
    return dotted(loc).startswith(_LM_OPTIONS) and is_secret_place(loc)


def looks_secret(key: str, value: str) -> bool:
    """Whether a setting holds a secret, by its name (such as `api_key`, `X-Auth-Token`) or by its form."""
    return _names_secret(key, strict=False) or _is_secret_by_form(value) or _has_secret_in_query(value)


def written_secret(data: Any, loc: Loc = ()) -> Loc | None:
    """The first place of plain data where a secret is written out, or None.

    Args:
        data: a request, or what stands at `loc` of one.
        loc: where it stands.
    """
    if isinstance(data, Mapping):
        found: Iterator[Loc | None] = (written_secret(value, (*loc, str(key))) for key, value in data.items())
    elif isinstance(data, list | tuple):
        found = (written_secret(value, (*loc, index)) for index, value in enumerate(data))
    else:
        return loc if _is_written(loc, data) else None
    return next((one for one in found if one is not None), None)


def what_to_write(loc: Loc) -> str:
    """What to write where a secret was written out, as a sentence."""
    if may_refer(loc) and loc[-1] != "api_key":
        return "secrets are taken from the environment only; write `${NAME_OF_THE_VARIABLE}`, which the run never shows"
    return "secrets are taken from the environment only; write `api_key_env: NAME_OF_THE_VARIABLE`"


def _is_written(loc: Loc, value: Any) -> bool:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return is_secret_place(loc) and len(str(value)) >= SHORTEST
    if not isinstance(value, str) or not value:
        return False
    if loc and loc[-1] in _ADDRESSES and "@" in _server_of(value):
        return True
    if is_secret_place(loc):
        variables = list(VARIABLE.finditer(value))
        if not may_refer(loc) or not variables or any(one.group(2) for one in variables):
            return True
        value = VARIABLE.sub("", value)
    return _is_secret_by_form(value) or _has_secret_in_query(value)


def _server_of(address: str) -> str:
    """The part of an address that names the server; nothing where it cannot be read."""
    try:
        return urlsplit(address).netloc
    except ValueError:
        return ""


def _names_secret(name: str, *, strict: bool) -> bool:
    words = _words(name)
    if not words:
        return False
    if any(_ENDINGS.search(word) for word in words) or words[-1] in _ALONE:
        return True
    if len(words) > 1 and words[-1] in ("key", "keys") and words[-2] in _KINDS_OF_KEY:
        return True
    return strict and bool(_IN_HEADERS & set(words))


def _words(name: str) -> list[str]:
    """`Ocp-Apim-Subscription-Key`, `accessToken` -> the words, in small letters."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return [word.lower() for word in re.split(r"[^A-Za-z0-9]+", parted) if word]


def _is_secret_by_form(value: str) -> bool:
    return bool(_FORMS.search(value)) or any(map(_is_login, _BASIC.findall(value))) or has_password(value)


def _is_login(text: str) -> bool:
    """Whether base64 holds `user:password`, as after `Basic`; a word may be base64 by chance."""
    try:
        return b":" in base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False


def _has_secret_in_query(value: str) -> bool:
    if not re.match(r"(?i)https?://\S+$", value):
        return False
    try:
        query = urlsplit(value).query
    except ValueError:
        return False
    return any(_names_secret(name, strict=True) for name, held in parse_qsl(query) if held)
