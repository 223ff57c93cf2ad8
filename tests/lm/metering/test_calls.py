"""One LM call: asked once for identical requests, billed, kept, tried again, counted in every thread it is made in."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dspy
import pytest
from dspy.clients import costs, embedding
from dspy.lm15 import Message, Response, TextPart, Usage

from dspytrack.config.schema import LM, Constraints
from dspytrack.errors import RunStop
from dspytrack.lm.build import build_lm
from dspytrack.lm.metering.dspy_hooks import metering
from dspytrack.lm.metering.meter import Meter
from dspytrack.lm.metering.scope import in_phase, tallied
from tests.support.lm_server import LMServer, lm_server


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-for-loopback")


def lm(server: LMServer, **given: Any) -> dspy.LM:
    """An LM of the run at a server."""
    return build_lm(LM(model="openai/gpt-4o-mini", api_base=server.api_base, **given))


class Asks(dspy.BaseLM):  # type: ignore[misc]
    """An LM of a user's own that asks another one."""

    def __init__(self, other: dspy.LM) -> None:
        super().__init__("my/router")
        self.other = other

    def forward(self, prompt: Any = None, messages: Any = None, **kwargs: Any) -> Any:
        [text] = self.other(prompt, messages=messages)
        message = SimpleNamespace(content=text)
        return SimpleNamespace(choices=[SimpleNamespace(message=message)], usage={}, model=self.model)


def test_an_lm_that_asks_another_one_is_one_call(tmp_path: Path) -> None:
    with lm_server() as server:
        with metering(tmp_path / "r.jsonl", meter := Meter()), tallied() as tally:
            assert Asks(lm(server))("how is it?")
        assert (server.billed, meter.total.calls, tally.calls, meter.in_flight) == (1, 1, 1, 0)
        assert "own" not in meter.by_role


def test_a_program_that_configures_dspys_cache_stays_metered(tmp_path: Path) -> None:
    with lm_server() as server:
        before = dspy.cache
        with metering(tmp_path / "r.jsonl", meter := Meter()):
            dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=True)
            for text in ("a", "b", "b"):
                lm(server)(text)
            assert (server.billed, meter.total.calls, meter.total.cached) == (2, 2, 1)
            assert meter.total.cost_usd is not None and meter.total.cost_usd > 0
        assert dspy.cache is before


@pytest.mark.parametrize("how", ["thread", "pool", "parallel", "nested"])
def test_calls_in_threads_belong_to_whoever_started_the_threads(how: str, tmp_path: Path) -> None:
    def in_thread(call: Any) -> None:
        thread = threading.Thread(target=call)
        thread.start()
        thread.join()

    def in_pool(call: Any) -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(call).result()

    ways = {
        "thread": in_thread,
        "pool": in_pool,
        "nested": lambda call: in_thread(lambda: in_pool(call)),
        "parallel": lambda call: dspy.Parallel(num_threads=2, disable_progress_bar=True)(
            [(lambda **_: call(), {}), (lambda **_: None, {})]
        ),
    }
    with lm_server() as server, metering(tmp_path / "r.jsonl", Meter()), dspy.context(lm=lm(server)):
        for number in range(2):
            with tallied(f"{number}:") as tally:
                ways[how](lambda: dspy.settings.lm("the same text"))
            assert tally.calls == 1  # each in its own namespace, so that none is a cached one
    assert threading.Thread.start.__name__ == "start" and ThreadPoolExecutor.submit.__name__ == "submit"


def test_embeddings_are_billed_with_their_own_usage_and_asked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    class LiteLLM:
        cache = None

        def embedding(self, **request: Any) -> Any:
            asked.append(request)
            usage, price = {"prompt_tokens": 7, "total_tokens": 7}, {"response_cost": 0.001}
            return SimpleNamespace(data=[{"embedding": [1.0, 2.0]}], usage=usage, _hidden_params=price)

        async def aembedding(self, **request: Any) -> Any:
            return self.embedding(**request)

    monkeypatch.setattr(embedding, "_get_litellm", LiteLLM)
    with metering(tmp_path / "r.jsonl", meter := Meter()):
        embedder = dspy.Embedder("openai/text-embedding-3-small")
        first, again = embedder("how is it?"), embedder("how is it?")
        awaited = asyncio.run(embedder.acall("and now?"))
    assert list(first) == list(again) == list(awaited) == [1.0, 2.0]
    own = meter.by_role["own"]
    assert (len(asked), own.calls, own.cached, own.known_prompt_tokens) == (2, 2, 1, 14)
    assert own.cost_usd == pytest.approx(0.002)


def test_an_embedder_that_is_a_function_of_the_programs_own_is_no_call(tmp_path: Path) -> None:
    with metering(tmp_path / "r.jsonl", meter := Meter()):
        assert list(dspy.Embedder(lambda texts: [[0.0] for _ in texts])("hi")) == [0.0]
    assert meter.total.calls == 0


def test_a_cap_holds_for_embeddings_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = SimpleNamespace(cache=None, embedding=lambda **_: SimpleNamespace(data=[{"embedding": [0.0]}]))
    monkeypatch.setattr(embedding, "_get_litellm", lambda: free)
    with metering(tmp_path / "r.jsonl", Meter(Constraints(max_lm_calls=1))):
        embedder = dspy.Embedder("openai/text-embedding-3-small")
        embedder("a")
        with pytest.raises(RunStop, match="max_lm_calls"):
            embedder("b")


def test_a_failure_that_passes_is_tried_again_and_one_that_stays_is_counted_once(tmp_path: Path) -> None:
    with lm_server() as server, metering(tmp_path / "r.jsonl", meter := Meter()), tallied() as tally:
        server.retry_after, server.faults = "0", [429, 429]
        lm(server, num_retries=2)("a")
        assert (meter.total.calls, meter.total.retried, meter.total.failed) == (1, 2, 0)
        server.faults = [400]
        with pytest.raises(dspy.utils.exceptions.LMError):
            lm(server, num_retries=2)("b")
        assert (meter.total.calls, meter.total.retried, meter.total.failed, tally.failed) == (1, 2, 1, 1)
        assert meter.in_flight == 0


def test_retries_draw_nothing_from_the_random_numbers_that_optimizers_seed(tmp_path: Path) -> None:
    import random

    with lm_server() as server, metering(tmp_path / "r.jsonl", Meter()):
        random.seed(1)
        expected = random.getstate()
        server.faults = [500]
        lm(server, num_retries=1)("a")
        assert random.getstate() == expected


def test_one_of_the_programs_own_lms_is_tried_again_as_often_as_it_says_each_try_a_call(tmp_path: Path) -> None:
    with lm_server() as server, metering(tmp_path / "r.jsonl", meter := Meter()):
        server.retry_after, server.faults = "0", [429]
        own = dspy.LM("openai/gpt-4o-mini", api_base=server.api_base, api_key="a-key", num_retries=1)
        own("a")
        assert (len(server.asked_at), meter.total.calls, meter.total.retried) == (2, 1, 1)
        assert own.num_retries == 1


def test_work_of_an_ended_phase_makes_no_call(tmp_path: Path) -> None:
    with lm_server() as server, metering(tmp_path / "r.jsonl", meter := Meter()):
        with in_phase(meter.phase):
            lm(server)("a")
            meter.release()
            with pytest.raises(RunStop, match="the search is over"):
                lm(server)("b")
        assert server.billed == 1


def test_work_that_an_ended_run_abandoned_makes_no_call_and_all_other_work_does(tmp_path: Path) -> None:
    refused: list[BaseException] = []
    over = threading.Event()

    def late(asked: dspy.LM) -> None:
        over.wait()
        try:
            asked("late")
        except RunStop as stop:
            refused.append(stop)

    with lm_server() as server:
        own = dspy.LM("openai/gpt-4o-mini", api_base=server.api_base, api_key="a-key")
        with metering(tmp_path / "r.jsonl", Meter()), tallied():
            threads = [threading.Thread(target=late, args=[one]) for one in (lm(server), own)]
            for thread in threads:
                thread.start()
        over.set()
        for thread in threads:
            thread.join()
        assert len(refused) == 2 and server.billed == 0
        with pytest.raises(RunStop, match="has ended"):
            lm(server)("outside of a run")
        assert own("not the business of any run", cache=False) and server.billed == 1


def test_an_output_with_half_a_character_is_kept_and_comes_back(tmp_path: Path) -> None:
    with lm_server(lambda body: "half \ud83d of it") as server:
        with metering(tmp_path / "r.jsonl", Meter()):
            first = lm(server)("a")
        with metering(tmp_path / "r.jsonl", Meter()) as cache:
            assert lm(server)("a") == first and cache.damaged == 0
        assert server.billed == 1 and "\ud83d" in first[0]


@pytest.mark.parametrize("engine", ["auto", "litellm"])
def test_a_response_comes_back_as_it_was_whichever_client_asked(engine: str, tmp_path: Path) -> None:
    with lm_server() as server:
        asked = lm(server, options={"engine": engine, "logprobs": True})
        with metering(tmp_path / "r.jsonl", Meter()):
            first, history = asked("a"), asked.history[-1]
        with metering(tmp_path / "r.jsonl", meter := Meter()), tallied() as tally:
            again = asked("a")
        assert (server.billed, meter.total.calls, tally.calls) == (1, 0, 1)
        assert (again, asked.history[-1]["cost"]) == (first, history["cost"])
        assert asked.history[-1]["response"].usage is not None


def test_an_interrupted_awaited_call_is_in_flight_no_more(tmp_path: Path) -> None:
    async def cut_off(asked: dspy.LM) -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asked.acall("a"), 0.3)

    with lm_server(delay=3.0) as server, metering(tmp_path / "r.jsonl", meter := Meter()):
        asyncio.run(cut_off(lm(server)))
        assert meter.in_flight == 0


def test_prices_are_dspys_own_and_looked_up_once_a_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[str] = []
    really = costs.model_info

    def counted(provider: str, model: str, **rest: object) -> object:
        asked.append(model)
        return really(provider, model, **rest)

    monkeypatch.setattr(costs, "model_info", counted)
    models = ["gpt-4o-mini", "gpt-4.1", "no-such-model"]
    before = [costs.estimate_cost(response(one), provider="openai", requested_model=one)[0] for one in models]
    asked.clear()
    with metering(tmp_path / "r.jsonl", Meter()):
        for _ in range(3):
            now = [costs.estimate_cost(response(one), provider="openai", requested_model=one)[0] for one in models]
            assert now == before
    assert sorted(asked) == sorted(models)
    assert before[0] is not None and before[0] > 0 and before[2] is None
    assert costs.model_info is counted


def response(model: str) -> Response:
    """A response of 100 prompt and 10 completion tokens."""
    return Response(
        id="x",
        model=model,
        message=Message.assistant([TextPart("yes")]),
        finish_reason="stop",
        usage=Usage(input_tokens=100, output_tokens=10, total_tokens=110),
    )
