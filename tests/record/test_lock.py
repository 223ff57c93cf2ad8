"""The lock of a record: one process holds it, any number may look."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from dspytrack.errors import UsageError
from dspytrack.record.lock import held, is_held


def test_a_lock_that_is_held_is_seen_by_everyone_and_refused_to_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dspytrack.record.lock.WAIT_SECONDS", 0.1)
    lock = tmp_path / "lock"
    assert not is_held(lock)
    with held(lock):
        assert [is_held(lock) for _ in range(3)] == [True] * 3
        with pytest.raises(UsageError, match=f"{tmp_path}: another process is running this run"), held(lock):
            pass
    assert not is_held(lock)


def test_looking_at_a_lock_keeps_nobody_from_taking_it_and_nobody_is_taken_for_its_holder(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with held(lock):
        pass
    over, seen = threading.Event(), set()

    def look() -> None:
        while not over.is_set():
            seen.add(is_held(lock))

    readers = [threading.Thread(target=look) for _ in range(2)]
    for one in readers:
        one.start()
    try:
        time.sleep(0.2)
        assert seen == {False}
        for _ in range(60):
            with held(lock):
                pass
    finally:
        over.set()
        for one in readers:
            one.join()
