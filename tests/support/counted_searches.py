"""Searches against an LM server that count each call of the program, beside what was estimated before."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import dspy

from dspytrack.lm.metering.dspy_hooks import metering
from dspytrack.optimizers.protocol import SearchCalls
from dspytrack.runs.plan import make_plan
from tests.support.lm_server import Answer, classify, formed, lm_server, wanted
from tests.support.requests import request, rows

PROGRAM_ROLES = {"task", "teacher"}
TEST = 4  # examples of the test split, which no search sees


class Mood(dspy.Module):
    """One predictor; every call of any copy is counted."""

    calls: ClassVar[int] = 0
    lock: ClassVar[threading.Lock] = threading.Lock()  # protects the count: examples are run in threads

    def __init__(self) -> None:
        super().__init__()
        self.name = dspy.Predict(dspy.Signature("text -> label", "Name the mood."))

    def forward(self, text: str) -> dspy.Prediction:
        """The mood of a text."""
        with Mood.lock:
            Mood.calls += 1
        return self.label(text)

    def label(self, text: str) -> dspy.Prediction:
        """Ask for it."""
        return self.name(text=text)


class MoodInTwoSteps(Mood):
    """Two predictors."""

    def __init__(self) -> None:
        super().__init__()
        self.notes = dspy.Predict("text -> notes")

    def label(self, text: str) -> dspy.Prediction:
        """Ask for notes, then for the mood."""
        self.notes(text=text)
        return self.name(text=text)


def always(right: bool) -> Answer:
    """An LM that is always right about a mood, or always wrong."""

    def answer(body: dict[str, Any]) -> str:
        text = str(body["messages"][-1]["content"])
        shown = re.search(r"\[\[ ## text ## \]\]\s*(.+?)\n", text + "\n")
        is_bad = shown is not None and re.search(r"bad|awful|broken|slow|rude", shown.group(1)) is not None
        label = "negative" if is_bad == right else "positive"
        return formed({name: label if name == "label" else f"some {name}" for name in wanted(text)}, text)

    return answer


class Search(NamedTuple):
    """What was estimated, what was counted (calls of the program, LM calls of other roles), and the roles asked."""

    estimated: SearchCalls
    program: int
    own: int
    roles: set[str]


def counted_search(
    folder: Path,
    name: str,
    params: dict[str, Any],
    *,
    train: int = 12,
    val: int = 8,
    program: type[Mood] = Mood,
    answer: Answer = classify,
) -> Search:
    """Run one optimizer's search against an LM server; OPENAI_API_KEY must be set."""
    count = train + val + TEST
    with lm_server(answer) as server:
        asked = request(
            server.api_base,
            folder,
            program={"import": f"{__name__}:{program.__name__}"},
            dataset={"inputs": ["text"], "split": {"train": train / count, "val": val / count, "test": TEST / count}},
            optimizer={"name": name, "params": params},
        )
        plan = make_plan(asked, rows(count))
        [optimizer] = plan.optimizers
        assert (optimizer.sizes.train, optimizer.sizes.val) == (train, val)
        estimated = optimizer.calls()
        assert estimated is not None
        Mood.calls = 0
        with metering(folder / "responses.jsonl", plan.meter), dspy.context(lm=plan.lms["task"], adapter=plan.adapter):
            optimizer.search(plan.program, plan.inputs)
    by_role = plan.meter.by_role
    own = sum(tally.calls + tally.cached for role, tally in by_role.items() if role not in PROGRAM_ROLES)
    assert set(by_role) <= optimizer.lm_roles
    return Search(estimated, Mood.calls, own, set(by_role))


def assert_within(search: Search) -> None:
    """What was counted lies within what was estimated."""
    for counted, estimated in ((search.program, search.estimated.program), (search.own, search.estimated.own)):
        assert estimated.least <= counted <= estimated.most, search
