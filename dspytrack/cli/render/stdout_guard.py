"""Keeps stdout for the answer alone, whatever the user's code prints, and from wherever: Python, C, subprocesses."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TextIO


@contextmanager
def answering() -> Iterator[TextIO]:
    """The way to stdout for as long as the block lasts; all else that is written there goes to stderr.

    Print the answer before the block ends: abandoned work may still print.
    """
    stdout = sys.stdout
    if not _is_descriptor_1(stdout):  # one that a test or a notebook put in its place
        with redirect_stdout(sys.stderr):
            yield stdout
        return
    stdout.flush()
    before = os.dup(1)
    answer = os.fdopen(os.dup(1), "w", encoding=stdout.encoding, errors=stdout.errors)
    try:
        os.dup2(2, 1)
        with redirect_stdout(sys.stderr):
            yield answer
    finally:
        os.dup2(before, 1)
        os.close(before)
        answer.close()


def _is_descriptor_1(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.fileno() == 1 and sys.stderr is not None
    except (OSError, ValueError):
        return False
