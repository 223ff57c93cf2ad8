"""LM calls that a program makes in ways of its own: awaited, with its own LM, in its own threads, at other servers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import dspy
import pytest

from dspytrack.config.schema import LM
from dspytrack.lm.build import build_lm
from dspytrack.lm.metering.dspy_hooks import metering
from dspytrack.lm.metering.meter import Meter
from dspytrack.pipeline import OptimizationPipeline
from dspytrack.record.store import Record
from dspytrack.results.values import OptimizationResult
from tests.support.lm_server import LMServer, lm_server
from tests.support.requests import request, rows

OWN = """
import dspy


class Own(dspy.Module):
    def __init__(self, api_base: str) -> None:
        super().__init__()
        self.a = dspy.Predict("text -> label")
        self.helper = dspy.LM("openai/gpt-4o-mini", api_base=api_base, api_key="a-key-of-its-own")

    def forward(self, text: str) -> dspy.Prediction:
        with dspy.context(lm=self.helper):
            return self.a(text=text)


class Uncached(Own):
    def __init__(self, api_base: str) -> None:
        super().__init__(api_base)
        self.helper.cache = False


class Threads(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = dspy.Predict("text -> label")

    def forward(self, text: str) -> dspy.Prediction:
        pairs = [(self.a, dspy.Example(text=text + more).with_inputs("text")) for more in ("", "!")]
        return dspy.Parallel(num_threads=2, disable_progress_bar=True)(pairs)[0]
"""


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-for-loopback")


def lm(server: LMServer) -> dspy.LM:
    """An LM of the run at a server."""
    return build_lm(LM(model="openai/gpt-4o-mini", api_base=server.api_base))


def run(server: LMServer, folder: Path, **changes: Any) -> OptimizationResult:
    """A whole run of a program of its own."""
    (folder / "owner.py").write_text(OWN)
    pipeline = OptimizationPipeline(enable_tracking=False, runs_dir=folder / "runs")
    return pipeline.run(request(server.api_base, folder, **changes), training_data=rows(60))


def test_awaited_calls_answer_and_identical_ones_are_asked_once(tmp_path: Path) -> None:
    async def four(asked: dspy.LM) -> list[Any]:
        return list(await asyncio.gather(*(asked.acall("how is it?") for _ in range(4))))

    with lm_server(delay=0.2) as server:
        meter = Meter()
        with metering(tmp_path / "responses.jsonl", meter):
            answers = asyncio.run(four(lm(server)))
    assert len({str(answer) for answer in answers}) == 1
    assert (server.billed, meter.total.calls, meter.total.cached) == (1, 1, 3)


def test_several_answers_awaited_at_once_are_a_call_each_and_are_kept(tmp_path: Path) -> None:
    with lm_server() as server:
        meter = Meter()
        with metering(tmp_path / "responses.jsonl", meter):
            asked = lm(server)
            first = asyncio.run(asked.acall("how is it?", n=3, temperature=0.7))
            again = asyncio.run(asked.acall("how is it?", n=3, temperature=0.7))
    assert len(first) == 3 and first == again
    assert (server.billed, meter.total.calls, meter.total.cached) == (3, 3, 3)


def test_an_own_lm_awaited_is_asked_once_for_identical_requests_and_billed_where_it_does_not_cache(
    tmp_path: Path,
) -> None:
    async def four(asked: dspy.LM) -> list[Any]:
        return list(await asyncio.gather(*(asked.acall("how is it?") for _ in range(4))))

    with lm_server(delay=0.2) as server:
        meter = Meter()
        own = dspy.LM("openai/gpt-4o-mini", api_base=server.api_base, api_key="a-key-of-its-own")
        with metering(tmp_path / "responses.jsonl", meter):
            asyncio.run(four(own))
            assert (server.billed, meter.total.calls, meter.total.cached) == (1, 1, 3)
            asyncio.run(four(own.copy(cache=False)))
            assert (server.billed, meter.total.calls, meter.total.cached) == (5, 5, 3)
        with metering(tmp_path / "responses.jsonl", Meter()) as again:
            assert len(again.billed) == 5


def test_two_servers_with_one_model_name_do_not_answer_for_each_other(tmp_path: Path) -> None:
    with lm_server(lambda body: "first") as first, lm_server(lambda body: "second") as second:
        meter = Meter()
        with metering(tmp_path / "responses.jsonl", meter):
            assert lm(first)("hi") == ["first"]
            assert lm(second)("hi") == ["second"]
    kept = (tmp_path / "responses.jsonl").read_text()
    assert first.api_base not in kept and second.api_base not in kept  # an address may hold a password


@pytest.mark.integration
def test_an_lm_that_a_program_opens_itself_is_counted_and_capped_and_its_key_is_in_no_file(tmp_path: Path) -> None:
    with lm_server() as server:
        program = {"import": "owner:Own", "params": {"api_base": server.api_base}}
        result = run(server, tmp_path, program=program)
        assert result.status == "completed", result.error
        assert result.usage["own"].calls == server.billed > 0
        row = Record(Path(result.record)).rows("baseline")[0]
        assert row.lm_calls == 1
        assert row.cost_usd is not None and row.cost_usd > 0
        before = server.billed
        optimizer = {"name": "bootstrap_random_search", "params": {"num_candidate_programs": 4}}
        capped = run(server, tmp_path, program=program, optimizer=optimizer, constraints={"max_lm_calls": 60})
        assert capped.status == "budget_reached"
        assert server.billed - before <= 60 + 4


@pytest.mark.integration
@pytest.mark.parametrize("cap", [{"max_lm_calls": 60}, {"max_cost_usd": 0.001}, {"max_tokens": 4000}])
@pytest.mark.parametrize("kind", ["Own", "Uncached"])
def test_an_lm_of_a_programs_own_is_counted_and_capped_as_any_other(kind: str, cap: Any, tmp_path: Path) -> None:
    with lm_server() as server:
        program = {"import": f"owner:{kind}", "params": {"api_base": server.api_base}}
        whole = run(server, tmp_path, program=program)
        assert whole.status == "completed", whole.error
        assert whole.usage["own"].calls == server.billed > 0
        row = Record(Path(whole.record)).rows("baseline")[0]
        assert row.lm_calls == 1 and row.cost_usd is not None and row.cost_usd > 0
        before = server.billed
        optimizer = {"name": "bootstrap_random_search", "params": {"num_candidate_programs": 10}}
        capped = run(server, tmp_path, program=program, optimizer=optimizer, constraints=cap)
        assert capped.status == "budget_reached"
        assert capped.usage["own"].calls == server.billed - before
        [(name, limit)] = cap.items()
        own = capped.usage["own"]
        assert own.cost_usd is not None and own.prompt_tokens is not None and own.completion_tokens is not None
        used = {
            "max_lm_calls": own.calls,
            "max_cost_usd": own.cost_usd,
            "max_tokens": own.prompt_tokens + own.completion_tokens,
        }
        assert used[name] <= limit


@pytest.mark.integration
def test_failures_of_an_lm_of_the_programs_own_end_the_run_too(tmp_path: Path) -> None:
    with lm_server() as server:
        program = {"import": "owner:Own", "params": {"api_base": server.api_base}}
        server.faults = [401] * 200
        result = run(server, tmp_path, program=program)
    assert result.status == "failed"
    assert "refused" in str(result.error)
    assert result.usage["own"].failed_calls > 0


@pytest.mark.integration
def test_calls_in_threads_of_a_program_are_its_examples_calls(tmp_path: Path) -> None:
    with lm_server() as server:
        result = run(server, tmp_path, program={"import": "owner:Threads"})
        assert result.status == "completed", result.error
        assert {row.lm_calls for row in Record(Path(result.record)).rows("optimized")} == {2}
        assert result.usage["task"].calls == server.billed


@pytest.mark.integration
def test_checking_a_run_calls_no_lm_whatever_brings_one(tmp_path: Path) -> None:
    from dspytrack.runs.plan import make_plan

    (tmp_path / "judging.py").write_text(
        "import dspy\n\ngrade = dspy.Predict('label -> score: float')\n\n\n"
        "def score(example, prediction):\n    return float(grade(label=prediction.label).score)\n"
    )
    (tmp_path / "owner.py").write_text(OWN)
    with lm_server() as server:
        program = {"import": "owner:Own", "params": {"api_base": server.api_base}}
        asked = request(server.api_base, tmp_path, program=program, metric={"import": "judging:score"})
        make_plan(asked, rows(60))
        assert server.billed == 0
