"""An OpenAI-compatible HTTP server of the tests' own: seeded answers, counted responses, faults on demand.

It answers by the last user message: where the prompt shows labelled demos it classifies by word, without them it
says "positive" to everything, so demos really help. Chat and JSON adapters are both understood.
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[dict[str, Any]], str]
HELD_SECONDS = 3600.0  # longer than any test
LOOKS = 50  # of 0.01 s: in each the server's threads can work


@dataclass
class LMServer:
    """What the server did and is to do. `faults` are for the next requests: HTTP codes, "hang", "reset", "garbage".

    Any other word is no fault. `asked_at` has the moment of each request (monotonic seconds), `held` counts requests
    that are never answered.
    """

    answer: Answer
    api_base: str = ""
    billed: int = 0
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    faults: list[int | str] = field(default_factory=list)
    delay: float = 0.0
    retry_after: str | None = None
    fault_message: str | None = None
    tells_usage: bool = True
    in_flight: int = 0
    held: int = 0
    asked_at: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def next_fault(self) -> int | str | None:
        """The fault of this request, if one is due."""
        with self.lock:
            return self.faults.pop(0) if self.faults else None

    def settled(self) -> int:
        """What is billed once no call of a killed client is under way or waits in a socket any more."""
        self._come_to_rest(lambda: self.in_flight == self.held)
        return self.billed

    def hold(self) -> None:
        """Answer nothing from now on; returns once every call under way is one that will not be answered."""
        self.delay = HELD_SECONDS
        self._come_to_rest(lambda: self.in_flight == self.held > 0)

    def _come_to_rest(self, is_at_rest: Callable[[], bool]) -> None:
        """Wait for so many looks in a row that find nothing changed: looks, so that a stall of the machine is none."""
        until, quiet, seen = time.monotonic() + 120, 0, self.billed
        while quiet < LOOKS:
            assert time.monotonic() < until, f"the server does not come to rest: {self.in_flight} calls under way"
            time.sleep(0.01)
            quiet = quiet + 1 if is_at_rest() and self.billed == seen else 0
            seen = self.billed

    def pause(self, seconds: float) -> None:
        """Let a request wait; one that waits so long as to get no answer is counted as held."""
        if seconds >= HELD_SECONDS:
            with self.lock:
                self.held += 1
        time.sleep(seconds)


def classify(body: dict[str, Any]) -> str:
    """The seeded behaviour: with demos it knows the words, without them it says positive."""
    messages = body["messages"]
    text = str(messages[-1]["content"])
    shown = re.search(r"\[\[ ## text ## \]\]\s*(.+?)\n", text + "\n")
    words = shown.group(1).lower() if shown else text.lower()
    demos = sum(message["role"] == "assistant" for message in messages)
    label = "negative" if demos and re.search(r"bad|awful|broken|slow|rude", words) else "positive"
    fields = wanted(text) or ["label"]
    seen = hashlib.sha256(json.dumps(messages).encode()).hexdigest()[:6]
    values = {name: label if name == "label" else f"Name the mood of the text ({name} {seen})." for name in fields}
    return formed(values, text)


def wanted(message: str) -> list[str]:
    """The output fields that a message of DSPy's chat or JSON adapter asks for."""
    asked = message.split("Respond with")[-1]
    found: list[str] = re.findall(r"`(?:\[\[ ## )?(\w+)(?: ## \]\])?`", asked)
    return [name for name in found if name != "completed"]


def formed(values: dict[str, str], message: str) -> str:
    """An answer in the form that the message asks for."""
    if "Respond with a JSON object" in message:
        return json.dumps(values)
    return "\n\n".join(f"[[ ## {name} ## ]]\n{value}" for name, value in values.items()) + "\n\n[[ ## completed ## ]]"


def _handler(server: LMServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # it would add 40 ms to every answer

        def do_POST(self) -> None:
            with server.lock:
                server.in_flight += 1
                server.asked_at.append(time.monotonic())
            try:
                self._answer()
            finally:
                with server.lock:
                    server.in_flight -= 1

        def _answer(self) -> None:
            sent = self.rfile.read(int(self.headers["Content-Length"]))
            if len(sent) < int(self.headers["Content-Length"]):
                return  # the client was killed while it asked
            body = json.loads(sent)
            fault = server.next_fault()
            if fault == "hang":
                server.pause(HELD_SECONDS)
                return
            if fault == "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                self.close_connection = True
                return
            if isinstance(fault, int):
                message = server.fault_message or f"played fault {fault}"
                self._send(fault, {"error": {"message": message, "type": "fault", "code": fault}})
                return
            server.pause(server.delay)
            content = "no format at all" if fault == "garbage" else server.answer(body)
            with server.lock:
                server.billed += 1
                server.requests.append(body)
                server.headers.append({name.lower(): value for name, value in self.headers.items()})
            tokens = sum(len(str(m["content"]).split()) for m in body["messages"])
            out = len(content.split())
            usage = {"prompt_tokens": tokens, "completion_tokens": out, "total_tokens": tokens + out}
            self._send(
                200,
                {
                    "id": "x",
                    "object": "chat.completion",
                    "created": 0,
                    "model": body["model"],
                    "choices": [
                        {"index": i, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}
                        for i in range(body.get("n") or 1)
                    ],
                    **({"usage": usage} if server.tells_usage else {}),
                },
            )

        def _send(self, code: int, document: dict[str, Any]) -> None:
            data = json.dumps(document).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            if code == 429 and server.retry_after is not None:
                self.send_header("Retry-After", server.retry_after)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            """Keep the tests' output clean."""

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed resets its connection; anything else is the test's business."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def lm_server(answer: Answer = classify, delay: float = 0.0) -> Iterator[LMServer]:
    """A server on loopback for as long as the block lasts."""
    server = LMServer(answer, delay=delay)
    http = _Server(("127.0.0.1", 0), _handler(server))
    server.api_base = f"http://127.0.0.1:{http.server_address[1]}/v1"
    thread = threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True)  # looks for shutdown every 20 ms
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
