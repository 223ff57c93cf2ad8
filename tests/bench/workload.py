"""The work that is timed: the same data, metric, random search and zero-latency LM for every side.

The LM is a stand-in for DSPy's native engine (`LM15Engine.complete`), put in place inside the measured process. It
sits below everything that is compared: `dspy.LM` and dspytrack's `MeteredLM` build the same request, look it up in
their cache, reach the same stub, price and store its response. Nothing of the product is changed, and no HTTP client
or server takes its share of the two cores. `http` in the table is the same work through `tests/lm_server.py`: there
the HTTP client is most of the time, and the overhead looks smaller than it is.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from dspytrack.request import OptimizationRequest
from tests.lm_server import classify
from tests.runs import request, rows

THREADS = 8
SEED = 0
SEARCH = {"num_candidate_programs": 6, "max_bootstrapped_demos": 2, "max_labeled_demos": 4}
METRIC = "tests.bench.workload:same_label"
calls = itertools.count()


def same_label(example: Any, prediction: Any, trace: Any = None) -> float:
    """A metric as a user writes it."""
    return float(example.label == prediction.label)


def workload(
    count: int, api_base: str, folder: Path, optimizer: str = "bootstrap_random_search"
) -> OptimizationRequest:
    """The request of a run over so many examples."""
    lm = {"model": "openai/gpt-4o-mini", "num_retries": 0, "timeout": 60} | ({"api_base": api_base} if api_base else {})
    params = SEARCH if optimizer == "bootstrap_random_search" else {"k": 4}
    return request(
        api_base,
        folder,
        metric={"import": METRIC},
        lm=lm,
        optimizer={"name": optimizer, "params": params},
        evaluation={"num_threads": THREADS},
        seed=SEED,
    )


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
