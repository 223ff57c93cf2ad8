"""The work that is timed: the same data, metric, random search and zero-latency LM for every side.

The LM is a stand-in for DSPy's native engine (`LM15Engine.complete`), put in place inside the measured process. It
sits below everything that is compared: a bare and a metered `dspy.LM` build the same request, look it up in their
cache, reach the same stub, price and store its response. Nothing of the product is changed, and no HTTP client
or server takes its share of the cores: with one, its time would be most of the whole and the overhead look smaller.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from dspytrack.config.schema import OptimizationRequest
from tests.support.lm_server import classify
from tests.support.requests import request, rows

THREADS = 8
SEED = 0
SEARCH = {"num_candidate_programs": 6, "max_bootstrapped_demos": 2, "max_labeled_demos": 4}
LM = {"model": "openai/gpt-4o-mini", "num_retries": 0, "timeout": 60}
METRIC = "tests.bench.workload:same_label"
calls = itertools.count()


def same_label(example: Any, prediction: Any, trace: Any = None) -> float:
    """A metric as a user writes it."""
    return float(example.label == prediction.label)


def workload(folder: Path, api_base: str = "", **changes: Any) -> OptimizationRequest:
    """The request of a run; without `api_base` its LM is the stub."""
    values: dict[str, Any] = {
        "metric": {"import": METRIC},
        "lm": LM | ({"api_base": api_base} if api_base else {}),
        "optimizer": {"name": "bootstrap_random_search", "params": SEARCH},
        "evaluation": {"num_threads": THREADS},
        "seed": SEED,
    }
    return request(api_base, folder, **(values | changes))


def examples(count: int) -> list[dict[str, Any]]:
    """The data of a run."""
    return rows(count)


def answer_at_once() -> None:
    """Let DSPy's native engine answer from this process, in no time, and count what it is asked."""
    from dspy.clients.engines.lm15_engine import LM15Engine
    from dspy.lm15 import Message, Request, Response, TextPart, Usage

    def complete(self: Any, request: Request) -> Response:
        next(calls)
        messages = [{"role": one.role, "content": one.text or ""} for one in request.messages]
        text = classify({"messages": messages})
        asked, out = sum(len(one["content"].split()) for one in messages), len(text.split())
        return Response(
            id="x",
            model=request.model,
            message=Message.assistant([TextPart(text)]),
            finish_reason="stop",
            usage=Usage(input_tokens=asked, output_tokens=out, total_tokens=asked + out),
        )

    LM15Engine.complete = complete


def calls_made() -> int:
    """How often the stub was asked."""
    return int(repr(calls)[6:-1])
