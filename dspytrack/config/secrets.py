"""What is a secret: by the name of a setting, by the form of its value, and by its place in a request.

The one definition for config keys, environment variables and texts; known values are masked in `masking.py`.
Ordinary words are no secrets: `max_tokens`, `author`, `monkey`, `tokenizer`, `sort_key`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote, urlsplit

from dspytrack.config.interpolation import VARIABLE
from dspytrack.config.keys import Loc, dotted
from dspytrack.results.roles import LM_KEYS

MASK = "***"
SHORTEST = 6
"""Characters of a secret at least: a shorter value is too likely to be a word that is none."""

# Names. Each is read as words: `Ocp-Apim-Subscription-Key`, `accessToken`, `DB_PASSWORD`.
_ENDINGS = re.compile(
    r"(secrets?|passw(or)?d|passphrase|credentials?|authorization|apikeys?|authkey|accesskey|privatekey|subscriptionkey"
    r"|authtoken|accesstoken|apitoken|bearertoken)$"
)
_ALONE = {"token", "pwd", "cookie", "cookies"}  # as the last word
_OF_KIND = {"key", "keys", "tokens"}  # as the last word, after one of _KINDS
_KINDS = {"api", "auth", "access", "private", "subscription", "account", "signing", "encryption", "shared", "master"}
_PLAIN_KINDS = {
    *("sort", "partition", "primary", "foreign", "cache", "idempotency", "group", "index", "object", "public"),
    *("pad", "eos", "bos", "unk", "sep", "cls", "mask", "stop", "start", "end", "special", "next", "page"),
}
_IN_HEADERS = {"key", "keys", "token", "secret", "auth", "authentication", "cookie", "cookies", "pwd"}
_IN_HEADERS |= {"sig", "signature"}

# Places in a request.
_HEADERS = {"header", "headers", "query"}
_ADDRESSES = {"api_base", "base_url"}
_LM_OPTIONS = tuple(f"{key}.options." for key in LM_KEYS)

# Forms.
_TOKEN = re.compile(
    r"\b(sk-[\w-]{16,}|AKIA[0-9A-Z]{16}|AIza[\w-]{30,}|hf_[A-Za-z0-9]{20,}|gh[pousr]_\w{20,}|github_pat_\w{20,}"
    r"|glpat-[\w-]{16,}|xox[abeoprs]-[\w-]{10,}|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]*)"
    r"|(?s:-----BEGIN [A-Z ]*PRIVATE KEY.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z))"
)
_BEARER = re.compile(r"\b(Bearer )(?=\S*\d|\S{20})[\w.~+/-]{8,}=*")
_BASIC = re.compile(r"\b([Bb]asic )([A-Za-z0-9+/]{6,}={0,2})(?![\w=])")
_PORT = r"""\d{1,5}(?:[\s/?#"',;)\]}>\\\x00-\x1f\x7f-\x9f]|$)"""
_PASSWORD = re.compile(
    # A password may hold `/` and `@`; only after http(s) a number and `/` are a port and a path that may hold an `@`.
    rf"((?:(?<!http)(?<!https)|(?=://[^:/@\s]*:(?!{_PORT})))://[^:/@\s]*:)[^\s\x00-\x1f\x7f-\x9f]*@"
)
_RUN = re.compile(r"[^\s\x00-\x1f\x7f-\x9f]+")
_PARAMETER = re.compile(r"""([?&;]([\w.%-]+)=)[^&;#\s"'<>]+""")
_CHANGE_OF_KIND = re.compile(r"(?<=[a-z])[A-Z]|(?<=[A-Za-z])\d|(?<=\d)[A-Za-z]")


@lru_cache(maxsize=4096)
def names_secret(name: str, in_header: bool = False) -> bool:
    """Whether a name says that its value is a secret.

    Args:
        name: of a setting, a variable or a header, in any spelling.
        in_header: whether it is one of a request's headers or of an address's query, where more names are secrets.
    """
    words = _words(name)
    pairs = list(zip(["", *words], words, strict=False))
    if any(_ENDINGS.search(word) for word in words):
        return True
    if in_header and any(word in _IN_HEADERS and before not in _PLAIN_KINDS for before, word in pairs):
        return True
    before, last = pairs[-1] if pairs else ("", "")
    return (last in _ALONE and before not in _PLAIN_KINDS) or (last in _OF_KIND and before in _KINDS)


def is_secret_variable(name: str, value: str) -> bool:
    """Whether an environment variable holds a secret.

    Any name that ends in "key" counts where the value looks random (`MY_SERVICE_KEY`): keys reach a program through
    its environment under names of all kinds, whereas a config key of such a name is most often a field of the data.
    """
    if name == "PWD":  # the working folder
        return False
    return names_secret(name) or (_ends_in_key(name) and _looks_random(value))


def looks_secret(name: str, value: str) -> bool:
    """Whether a variable or a line of an env file holds a secret, by its name or by the form of its value."""
    return is_secret_variable(name, value) or holds_secret(value)


def holds_secret(text: str) -> bool:
    """Whether a text holds something that is a secret by its form."""
    return hidden(text) != text


def hidden(text: str) -> str:
    """A text with `***` for what is a secret by its form.

    That is a key of a known provider, a private key, a bearer token, a basic login, and in an address its password or
    a secret parameter of its query.
    """
    text = _RUN.sub(_hidden_in_address, text) if "://" in text else text
    text = _BASIC.sub(lambda found: f"{found[1]}{MASK}" if b":" in decoded(found[2]) else found[0], text)
    return _TOKEN.sub(MASK, _BEARER.sub(rf"\1{MASK}", text))


def decoded(text: str) -> bytes:
    """The bytes of a base64 text of either alphabet, padded or not; none where it is no base64."""
    text = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""


def is_secret_place(loc: Loc) -> bool:
    """Whether the value at a path of the request is a secret, by any name in the path."""
    names = [part for part in loc if isinstance(part, str)]
    in_header = any(_HEADERS & set(_words(name)[-1:]) for name in names[:-1])
    return any(names_secret(name, in_header) for name in names)


def may_refer(loc: Loc) -> bool:
    """Whether a secret is written as `${VAR}` here: the request keeps the variable, the built LM gets its value."""
    return dotted(loc).startswith(_LM_OPTIONS) and is_secret_place(loc)


def written_secret(data: Any, loc: Loc = ()) -> Loc | None:
    """The path to the first secret that is written out in plain data, or None.

    Args:
        data: a request, or the value at `loc` of one.
        loc: the path to it.
    """
    if isinstance(data, Mapping):
        found: Iterator[Loc | None] = (written_secret(value, (*loc, str(key))) for key, value in data.items())
    elif isinstance(data, list | tuple):
        found = (written_secret(value, (*loc, index)) for index, value in enumerate(data))
    else:
        return loc if _is_written(loc, data) else None
    return next((one for one in found if one is not None), None)


def what_to_write(loc: Loc) -> str:
    """What to write instead of a secret, as a sentence."""
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
    return holds_secret(value)


def _server_of(address: str) -> str:
    """The server that an address names; empty where the address cannot be read."""
    try:
        return urlsplit(address).netloc
    except ValueError:
        return ""


def _hidden_in_address(found: re.Match[str]) -> str:
    before, scheme, rest = found[0].partition("://")
    if not scheme:
        return found[0]
    head, at, tail = f"{before}://{_PARAMETER.sub(_hidden_parameter, rest)}".rpartition("@")
    # Cut at the last `@`, the search for a password is linear in the length of the text.
    return _PASSWORD.sub(rf"\1{MASK}@", head + at) + tail


def _hidden_parameter(found: re.Match[str]) -> str:
    return f"{found[1]}{MASK}" if names_secret(unquote(found[2]), in_header=True) else found[0]


@lru_cache(maxsize=4096)
def _ends_in_key(name: str) -> bool:
    *before, last = _words(name) or [""]
    return last.endswith(("key", "keys")) and not _PLAIN_KINDS & set(before[-1:])


def _looks_random(value: str) -> bool:
    """Whether letters and digits are mixed as in a random string; words, numbers and CamelCase change kind less."""
    return len(value) >= 16 and not re.search(r"\s", value) and 6 * len(_CHANGE_OF_KIND.findall(value)) >= len(value)


def _words(name: str) -> list[str]:
    """`Ocp-Apim-Subscription-Key`, `accessToken` -> the words, in small letters."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return [word.lower() for word in re.split(r"[^A-Za-z0-9]+", spaced) if word]
