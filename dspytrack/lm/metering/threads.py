"""Threads that inherit context variables, as Python 3.14 has them and earlier versions do not.

DSPy hands its own settings on to the threads of `dspy.Parallel`, and no other context variable to any thread. With
this, calls in a thread that a program starts belong to the example whose program started it, and see its LM.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any

_installed = threading.Lock()  # held while the two methods are replaced: by one run at a time


@contextmanager
def inherited_context() -> Iterator[None]:
    """Run each thread that is started inside, and all work given to a thread pool, in a copy of its starter's context.

    Where another block does so already, this one leaves it at that.
    """
    if not _installed.acquire(blocking=False):
        yield
        return
    start, submit = threading.Thread.start, ThreadPoolExecutor.submit

    def inheriting_start(self: threading.Thread) -> None:
        self.run = _in_copied_context(self.run)  # type: ignore[method-assign]
        start(self)

    def inheriting_submit(
        self: ThreadPoolExecutor, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Future[Any]:
        return submit(self, _in_copied_context(fn), *args, **kwargs)

    threading.Thread.start = inheriting_start  # type: ignore[method-assign]
    ThreadPoolExecutor.submit = inheriting_submit  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        threading.Thread.start = start  # type: ignore[method-assign]
        ThreadPoolExecutor.submit = submit  # type: ignore[method-assign]
        _installed.release()


def _in_copied_context(work: Callable[..., Any]) -> Callable[..., Any]:
    context = copy_context()
    return lambda *args, **kwargs: context.run(work, *args, **kwargs)
