"""A program of two predictors and a metric that says why: what an optimizer such as GEPA learns from."""

from typing import Literal

import dspy


class Summarize(dspy.Signature):
    """Say what the customer needs."""

    message: str = dspy.InputField()
    need: str = dspy.OutputField(desc="one sentence")


class Route(dspy.Signature):
    """Choose the team and the urgency."""

    message: str = dspy.InputField()
    need: str = dspy.InputField()
    team: Literal["billing", "technical", "shipping"] = dspy.OutputField()
    urgency: Literal["low", "high"] = dspy.OutputField()


class TicketRouter(dspy.Module):
    """Summarizes a ticket, then routes it."""

    def __init__(self) -> None:
        super().__init__()
        self.summarize = dspy.Predict(Summarize)
        self.route = dspy.Predict(Route)

    def forward(self, message: str) -> dspy.Prediction:
        need = self.summarize(message=message).need
        routed = self.route(message=message, need=need)
        return dspy.Prediction(need=need, team=routed.team, urgency=routed.urgency)


def routed_right(example: dspy.Example, prediction: dspy.Prediction) -> dict[str, float | str]:
    """Half a point each for the team and the urgency, and for every miss the reason."""
    misses = [
        f"{name} should be {example[name]}, not {prediction[name]}"
        for name in ("team", "urgency")
        if example[name] != prediction[name]
    ]
    return {"score": 1 - len(misses) / 2, "feedback": "; ".join(misses) or "Right."}
