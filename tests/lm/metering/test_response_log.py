"""The file of LM responses: what is in it comes back as it was, and damage costs what it touched and no more."""

import base64
import json
import os
import pickle
import resource
import signal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspytrack.lm.metering.response_log import ResponseLog
from dspytrack.lm.metering.usage import Bill

BILL = Bill("task", 12, 3, 0.00025, 0.5)
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(responses=st.lists(st.dictionaries(st.text(), plain), min_size=1, max_size=5))
def test_what_is_kept_comes_back_as_it_was(responses: list[dict[str, Any]], tmp_path_factory: Any) -> None:
    path = tmp_path_factory.mktemp("kept") / "responses.jsonl"
    file = ResponseLog(path)
    for number, response in enumerate(responses):
        file.add(f"key {number}", response, BILL if number % 2 else None)
    file.close()
    again = ResponseLog(path)
    assert [again.get(f"key {number}") for number in range(len(responses))] == responses
    assert again.bills == [(f"key {number}", BILL) for number in range(1, len(responses), 2)]
    assert again.get("another") is None and "another" not in again and again.damaged == 0


def test_a_response_that_json_cannot_hold_keeps_its_bill_and_is_asked_again(tmp_path: Path) -> None:
    file = ResponseLog(tmp_path / "r.jsonl")
    file.add("k", {"answer": object()}, BILL)
    assert file.get("k") is None
    file.close()
    again = ResponseLog(tmp_path / "r.jsonl")
    assert again.bills == [("k", BILL)] and again.damaged == 0


def test_nothing_in_the_file_is_run_when_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trap = base64.b64encode(pickle.dumps(Trap())).decode()
    lines = [{"key": "k", "bill": None, "pickle": trap}, {"key": "l", "bill": None, "response": trap}]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    file = ResponseLog(tmp_path / "r.jsonl")
    assert (file.get("k"), file.get("l")) == (None, trap)
    assert not (tmp_path / "trapped").exists()


class Trap:
    """A class whose pickle runs a command."""

    def __reduce__(self) -> Any:
        return os.system, ("touch trapped",)


@pytest.mark.parametrize(
    "line", [b"[" * 50_000, b'{"key": "d"}', b"[]", b"\xff\x00", b'{"key": "d", "bill": {"x": 1}}']
)
def test_a_line_that_is_no_response_is_counted_as_damaged(line: bytes, tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_bytes(line + b"\n")
    assert ResponseLog(tmp_path / "r.jsonl").damaged == 1


@pytest.mark.parametrize("cut", [1, 10, 40, 80])
def test_a_torn_last_line_goes_and_the_file_is_written_on(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "r.jsonl"
    file = ResponseLog(path)
    for key in "abc":
        file.add(key, {"answer": "ü" * 30}, BILL)
    file.close()
    path.write_bytes(path.read_bytes()[:-cut])
    torn = ResponseLog(path)
    assert [key in torn for key in "abc"] == [True, True, False]
    torn.add("c", {"answer": "again"}, BILL)
    torn.close()
    assert [json.loads(line)["key"] for line in path.read_text().splitlines()] == ["a", "b", "c"]


def test_a_damaged_line_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    file = ResponseLog(path)
    for key in "abc":
        file.add(key, {"answer": key}, BILL)
    file.close()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"\xff" * 50 + b"\n" + b'{"key": "d"}\n' + b"[]\n" + lines[2])
    found = ResponseLog(path)
    assert [found.get(key) for key in "abc"] == [{"answer": "a"}, None, {"answer": "c"}]
    assert found.damaged == 3 and [key for key, _ in found.bills] == ["a", "c"]


def test_a_file_that_may_not_grow_is_an_error_and_keeps_no_half_a_line(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    file = ResponseLog(path)
    file.add("a", {"answer": "a"}, BILL)
    whole = path.read_bytes()
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 20, limits[1]))
    try:
        with pytest.raises(OSError):
            file.add("b", {"answer": "b" * 1000}, BILL)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == whole and "b" not in file
    file.add("b", {"answer": "b"}, BILL)
    assert file.get("b") == {"answer": "b"}
