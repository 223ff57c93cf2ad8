"""Threads inherit the context of whoever starts them, for as long as a run lasts."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import pytest

from dspytrack.lm.metering.threads import inherited_context

ASKED_BY: ContextVar[str] = ContextVar("asked_by", default="nobody")


def seen_in_a_thread() -> str:
    """The variable's value in a new thread."""
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(ASKED_BY.get()))
    thread.start()
    thread.join()
    return found[0]


@pytest.fixture(autouse=True)
def _asked_by_a_test() -> None:
    ASKED_BY.set("test")


def test_a_thread_sees_its_starter_s_context() -> None:
    assert seen_in_a_thread() == "nobody"
    with inherited_context():
        assert seen_in_a_thread() == "test"
    assert seen_in_a_thread() == "nobody"


def test_work_given_to_a_pool_sees_the_context_of_its_giver_whenever_the_thread_was_started() -> None:
    with inherited_context(), ThreadPoolExecutor(1) as pool:
        assert pool.submit(ASKED_BY.get).result() == "test"
        ASKED_BY.set("another")
        assert pool.submit(ASKED_BY.get).result() == "another"
        assert pool.submit(lambda a, *, b: (a, b), 1, b=2).result() == (1, 2)


def test_a_block_within_another_changes_nothing_and_ends_nothing() -> None:
    start, submit = threading.Thread.start, ThreadPoolExecutor.submit
    with inherited_context():
        with inherited_context():
            pass
        assert seen_in_a_thread() == "test"
    assert (threading.Thread.start, ThreadPoolExecutor.submit) == (start, submit)


def test_threads_are_as_before_after_a_block_that_failed() -> None:
    start = threading.Thread.start
    for _ in range(2):
        with pytest.raises(ValueError), inherited_context():
            assert threading.Thread.start is not start
            raise ValueError
    assert threading.Thread.start is start
