"""Who asks an LM, and for what: the role of an LM, and the scope that its calls are counted in.

Both are found where a call passes. A scope is a context variable; `threads.py` makes sure that threads inherit it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from dspytrack.config.schema import Price
from dspytrack.lm.metering.usage import Tally
from dspytrack.results import roles

OWN = roles.OWN.name
"""The role of LMs that the run did not build, such as one that a program opens by itself."""
_LABEL = "dspytrack_label"  # the attribute that an LM, and each copy of it, carries
L = TypeVar("L")


@dataclass(frozen=True)
class Label:
    """What the run knows of an LM.

    `price` is the one given in the config; `is_free` that no call costs anything; `server` tells servers of one model
    name apart.
    """

    role: str = OWN
    price: Price | None = None
    is_free: bool = False
    server: str = ""


def labelled(lm: L, label: Label) -> L:
    """The same LM, with its label; copies of it keep the label."""
    setattr(lm, _LABEL, label)
    return lm


def is_labelled(lm: Any) -> bool:
    """Whether a run built the LM, or took it over from a program."""
    return isinstance(getattr(lm, _LABEL, None), Label)


def label_of(lm: Any) -> Label:
    """An LM's label; that of an LM which the run did not build says `own`."""
    found = getattr(lm, _LABEL, None)
    if isinstance(found, Label):
        return found
    return Label(server=str((getattr(lm, "kwargs", None) or {}).get("api_base") or ""))


@dataclass(frozen=True)
class Scope:
    """What the calls made here belong to.

    `tally` counts them beside the run's meter; `namespace` keeps their responses apart from all others of the run;
    `phase` is the meter's when the work began, None for work that no phase ends.
    """

    tally: Tally = field(default_factory=Tally)
    namespace: str = ""
    phase: int | None = None


_scope: ContextVar[Scope | None] = ContextVar("dspytrack_scope", default=None)


def current_scope() -> Scope:
    """The scope of the calls made here; one of their own where there is none."""
    return _scope.get() or Scope()


def is_scoped() -> bool:
    """Whether the work done here is a run's."""
    return _scope.get() is not None


@contextmanager
def tallied(namespace: str = "") -> Iterator[Tally]:
    """Count the calls made inside; a namespace keeps their responses apart from all others of the run."""
    scope = replace(current_scope(), tally=Tally(), namespace=namespace)
    token = _scope.set(scope)
    try:
        yield scope.tally
    finally:
        _scope.reset(token)


@contextmanager
def in_phase(phase: int) -> Iterator[None]:
    """Bind the calls made inside to a phase of the meter: once that is over, they are refused."""
    token = _scope.set(replace(current_scope(), phase=phase))
    try:
        yield
    finally:
        _scope.reset(token)
