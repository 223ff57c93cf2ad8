"""Remembered prices are DSPy's own, looked up once a model."""

import pytest
from dspy.clients import costs
from dspy.lm15 import Message, Response, TextPart, Usage

from dspytrack.lm.metering.prices import remembered_prices


def response(model: str) -> Response:
    return Response(
        id="x",
        model=model,
        message=Message.assistant([TextPart("yes")]),
        finish_reason="stop",
        usage=Usage(input_tokens=100, output_tokens=10, total_tokens=110),
    )


def test_prices_are_the_same_and_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    really = costs.model_info

    def counted(provider: str, model: str, **rest: object) -> object:
        asked.append(model)
        return really(provider, model, **rest)

    monkeypatch.setattr(costs, "model_info", counted)
    models = ["gpt-4o-mini", "gpt-4.1", "no-such-model"]
    before = [costs.estimate_cost(response(one), provider="openai", requested_model=one)[0] for one in models]
    asked.clear()
    with remembered_prices():
        for _ in range(3):
            now = [costs.estimate_cost(response(one), provider="openai", requested_model=one)[0] for one in models]
            assert now == before
    assert sorted(asked) == sorted(models)
    assert before[0] is not None and before[0] > 0 and before[2] is None
    assert costs.model_info is counted
