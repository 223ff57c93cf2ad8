"""The responses of a run by request: billed once, and each request in flight asked once."""

from __future__ import annotations

from pathlib import Path

from dspytrack.lm.metering.cache import ResponseCache, response_key
from dspytrack.lm.metering.response_log import ResponseLog
from dspytrack.lm.metering.usage import Bill

BILL = Bill("task", 12, 3, 0.25, 0.5)


def cache(folder: Path) -> ResponseCache:
    """The responses of a run, those of earlier attempts included."""
    return ResponseCache(ResponseLog(folder / "responses.jsonl"))


def test_namespaces_and_servers_keep_equal_requests_apart() -> None:
    keys = {response_key("h", namespace, server) for namespace in ("", "baseline:") for server in ("", "http://a", "b")}
    assert len(keys) == 6
    assert response_key("h", "", "") == "h"
    assert response_key("h", "baseline:", "") == "baseline:h"


def test_no_part_of_a_server_s_address_is_in_a_key() -> None:
    key = response_key("h", "n:", "https://user:password@host")
    assert key.startswith("n:") and key.endswith(":h") and len(key) == len("n:") + 12 + len(":h")


def test_a_response_of_an_earlier_attempt_is_billed_at_its_first_use_alone(tmp_path: Path) -> None:
    cache(tmp_path).put("k", {"text": "up"}, BILL)
    again = cache(tmp_path)
    assert (again.get("k"), again.billed, again.damaged) == ({"text": "up"}, [BILL], 0)
    assert again.first_use("k") == BILL
    assert again.first_use("k") is None
    assert again.place == str(tmp_path / "responses.jsonl")


def test_a_response_of_this_attempt_is_billed_already(tmp_path: Path) -> None:
    responses = cache(tmp_path)
    responses.put("k", {"text": "up"}, BILL)
    assert responses.get("k") == {"text": "up"} and responses.get("other") is None
    assert (responses.first_use("k"), responses.billed) == (None, [])


def test_a_request_in_flight_is_asked_once_and_the_others_wait_until_it_is_released(tmp_path: Path) -> None:
    responses = cache(tmp_path)
    assert responses.claim("k") is None
    waiting = responses.claim("k")
    assert waiting is not None and not waiting.is_set()
    assert responses.claim("k") is waiting
    assert responses.claim("other") is None
    responses.release("k")
    assert waiting.is_set()
    assert responses.claim("k") is None
