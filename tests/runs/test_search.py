"""The search: the best of what several optimizers find, and the best so far where a cap ends it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import dspy
import pytest

from dspytrack.errors import RunStop
from dspytrack.lm.metering.dspy_hooks import metering
from dspytrack.optimizers.protocol import Inputs, Optimizer, Sizes
from dspytrack.runs.plan import Plan, make_plan
from dspytrack.runs.search import Found, search
from tests.support.lm_server import formed, lm_server
from tests.support.requests import request, rows


def answer(body: dict[str, Any]) -> str:
    """Right where the instructions say so; nothing that parses for most texts where they say `mute`."""
    said, text = json.dumps(body["messages"][0]), str(body["messages"][-1]["content"])
    is_good = any(word in text for word in ("great", "lovely", "quick", "kind", "fresh", "solid"))
    if "mute" in said and not is_good:
        return "no format at all"
    label = "positive" if is_good or "right" not in said else "negative"
    return formed({"label": label}, text)


class Gives(Optimizer):
    """An optimizer that scores programs of given instructions, one after the other, and ends with the last."""

    dspy_class: ClassVar[Any] = dspy.LabeledFewShot
    uses_val = True

    def __init__(self, name: str, *instructions: str, then: Callable[[], None] = lambda: None) -> None:
        super().__init__({}, Sizes(24, 12, 1))
        self.name = name  # type: ignore[misc]
        self._instructions, self._then = instructions, then

    def calls(self) -> None:
        return None

    def build(self, inputs: Inputs) -> None:
        return None

    def compile(self, built: Any, student: dspy.Module, inputs: Inputs) -> dspy.Module:
        assert inputs.valset is not None
        score = dspy.Evaluate(devset=list(inputs.valset), metric=inputs.metric.plain, num_threads=2, max_errors=99)
        for one in self._instructions:
            student = student.deepcopy()
            student.signature = student.signature.with_instructions(one)
            score(student)
        self._then()
        return student


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plan]:
    """A plan whose LM obeys the instructions, inside its metering."""
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-for-loopback")
    with lm_server(answer) as server:
        found = make_plan(request(server.api_base, tmp_path), rows(60))
        with metering(tmp_path / "responses.jsonl", found.meter):
            yield found


def found_by(plan: Plan, tmp_path: Path, *optimizers: Optimizer) -> Found:
    """What a search with these optimizers ends with."""
    return search(replace(plan, optimizers=optimizers), tmp_path / "log.txt", lambda candidate: None)


def instructions(found: Found) -> str:
    """Of the program that was found."""
    [predictor] = found.program.predictors()
    return str(predictor.signature.instructions)


@pytest.mark.parametrize("order", [1, -1])
def test_of_several_results_the_best_by_validation_score_is_taken(plan: Plan, tmp_path: Path, order: int) -> None:
    optimizers = [Gives("one", "be wrong"), Gives("two", "be right")][::order]
    found = found_by(plan, tmp_path, *optimizers)
    assert (found.optimizer, found.score, found.unsure, instructions(found)) == ("two", 1.0, False, "be right")


@pytest.mark.parametrize("order", [1, -1])
def test_a_perfect_score_on_few_of_the_examples_comes_after_any_other(plan: Plan, tmp_path: Path, order: int) -> None:
    optimizers = [Gives("mute", "be mute"), Gives("wrong", "be wrong")][::order]
    found = found_by(plan, tmp_path, *optimizers)
    assert (found.optimizer, found.unsure) == ("wrong", False)


def test_one_result_alone_is_taken_without_scoring_it_again(plan: Plan, tmp_path: Path) -> None:
    found = found_by(plan, tmp_path, Gives("one", "be wrong"))
    assert (found.optimizer, found.score, instructions(found)) == ("one", None, "be wrong")
    assert plan.meter.total.calls == len(plan.splits.val)


def a_cap(plan: Plan) -> Callable[[], None]:
    """What ends a search as a reached cap does."""

    def reached() -> None:
        plan.meter.stop("budget", "a cap reached")
        plan.meter.check()

    return reached


def test_where_a_cap_ends_a_search_the_best_candidate_so_far_is_taken(plan: Plan, tmp_path: Path) -> None:
    found = found_by(plan, tmp_path, Gives("one", "be wrong", "be right", "be wrong again", then=a_cap(plan)))
    assert (found.optimizer, instructions(found), str(found.stopped)) == ("one", "be right", "a cap reached")


@pytest.mark.parametrize(("running", "expected"), [("be wrong", "one"), ("be right", "two")])
def test_candidates_of_a_cut_off_optimizer_compete_with_the_results_before_it(
    plan: Plan, tmp_path: Path, running: str, expected: str
) -> None:
    before = "be right" if expected == "one" else "be wrong"
    found = found_by(plan, tmp_path, Gives("one", before), Gives("two", running, then=a_cap(plan)))
    assert (found.optimizer, instructions(found)) == (expected, "be right")


def test_a_score_on_train_does_not_compete_with_one_on_val(plan: Plan, tmp_path: Path) -> None:
    on_train = Gives("two", "be right", then=a_cap(plan))
    on_train.uses_val = False  # type: ignore[misc]
    found = found_by(plan, tmp_path, Gives("one", "be wrong"), on_train)
    assert (found.optimizer, instructions(found)) == ("one", "be wrong")


def test_where_no_candidate_was_scored_the_baseline_is_taken(plan: Plan, tmp_path: Path) -> None:
    found = found_by(plan, tmp_path, Gives("one", then=a_cap(plan)))
    assert (found.optimizer, found.program) == (None, plan.program)
    assert found.stopped is not None


def test_an_interruption_is_no_end_with_the_best_so_far(plan: Plan, tmp_path: Path) -> None:
    def interrupted() -> None:
        plan.meter.stop("interrupted", "interrupted by SIGINT")
        plan.meter.check()

    with pytest.raises(RunStop, match="SIGINT"):
        found_by(plan, tmp_path, Gives("one", "be right", then=interrupted))
