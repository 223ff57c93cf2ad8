"""What holds for every optimizer: bounds in their order, parameters in their place, a search from the run's seed."""

from __future__ import annotations

import random
from typing import Any

import dspy
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dspytrack.optimizers.bootstrap_few_shot import BootstrapFewShot
from dspytrack.optimizers.labeled_few_shot import LabeledFewShot
from dspytrack.optimizers.miprov2 import Miprov2
from dspytrack.optimizers.protocol import Inputs, Optimizer, Sizes
from dspytrack.optimizers.registry import OPTIMIZERS

SIZES = st.builds(Sizes, train=st.integers(1, 300), val=st.integers(0, 300), predictors=st.integers(1, 5))
COUNTS = {"max_bootstrapped_demos": st.integers(1, 20), "max_labeled_demos": st.integers(0, 20)}
AUTO = st.sampled_from(["light", "medium", "heavy"])
MIPROV2 = COUNTS | {
    "max_bootstrapped_demos": st.integers(0, 20),
    "minibatch": st.booleans(),
    "minibatch_size": st.integers(1, 60),
    "minibatch_full_eval_steps": st.integers(1, 9),
    "view_data_batch_size": st.integers(1, 40),
    "program_aware_proposer": st.booleans(),
    "data_aware_proposer": st.booleans(),
}
BUDGETS = [{}, {"auto": AUTO}, {"max_full_evals": st.integers(1, 20)}, {"max_metric_calls": st.integers(1, 2000)}]
ROUNDS = {"max_rounds": st.integers(1, 3)}
PARAMETERS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "labeled_few_shot": st.fixed_dictionaries({}, optional={"k": st.integers(1, 40)}),
    "bootstrap_few_shot": st.fixed_dictionaries({}, optional=COUNTS | ROUNDS),
    "bootstrap_random_search": st.fixed_dictionaries(
        {},
        optional=COUNTS
        | ROUNDS
        | {
            "num_candidate_programs": st.integers(0, 30),
            "stop_at_score": st.floats(0, 100),
            "restrict": st.lists(st.integers(-3, 30), min_size=1),
        },
    ),
    "copro": st.fixed_dictionaries({}, optional={"breadth": st.integers(2, 12), "depth": st.integers(1, 6)}),
    "miprov2": st.one_of(
        st.fixed_dictionaries({}, optional=MIPROV2 | {"auto": AUTO}),
        st.fixed_dictionaries(
            {"num_candidates": st.integers(1, 30), "num_trials": st.integers(1, 60)}, optional=MIPROV2
        ),
    ),
    "gepa": st.one_of(
        *(
            st.fixed_dictionaries(
                budget,
                optional={
                    "reflection_minibatch_size": st.integers(1, 12),
                    "component_selector": st.sampled_from(["round_robin", "all"]),
                },
            )
            for budget in BUDGETS
        )
    ),
    "simba": st.fixed_dictionaries(
        {},
        optional={
            "bsize": st.integers(1, 64),
            "num_candidates": st.integers(1, 12),
            "max_steps": st.integers(1, 12),
            "max_demos": st.integers(0, 8),
        },
    ),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@given(data=st.data(), sizes=SIZES)
def test_the_least_that_is_estimated_is_never_above_the_most(name: str, data: st.DataObject, sizes: Sizes) -> None:
    optimizer = OPTIMIZERS[name](data.draw(PARAMETERS[name]), sizes)
    assume(optimizer.fault() is None)
    calls = optimizer.calls()
    assert calls is not None
    for bounds in calls:
        assert 0 <= bounds.least <= bounds.most
        assert bounds.least == int(bounds.least) and bounds.most == int(bounds.most)


@pytest.mark.parametrize("name", OPTIMIZERS)
@given(data=st.data(), sizes=SIZES, more=st.integers(1, 100))
def test_more_train_examples_beside_a_val_split_never_lower_the_most(
    name: str, data: st.DataObject, sizes: Sizes, more: int
) -> None:
    params, val = data.draw(PARAMETERS[name]), sizes.val + 1
    few, many = (OPTIMIZERS[name](params, Sizes(sizes.train + add, val, sizes.predictors)) for add in (0, more))
    assume(few.fault() is None)
    before, after = few.calls(), many.calls()
    assert before is not None and after is not None
    assert after.program.most >= before.program.most


@pytest.mark.parametrize(("val", "examples"), [(8, {"val": 8, "train": 12}), (0, {"val": 12, "train": 12})])
def test_candidates_are_scored_on_val_by_the_optimizers_that_use_it_and_else_on_train(
    val: int, examples: dict[str, int]
) -> None:
    for kind in OPTIMIZERS.values():
        scored = kind({}, Sizes(12, val, 1)).candidate_examples
        assert scored == examples["val" if kind.uses_val else "train"], kind.name
    assert {name for name, kind in OPTIMIZERS.items() if kind.uses_val} == {
        "bootstrap_random_search",
        "miprov2",
        "gepa",
    }


def test_parameters_go_to_the_constructor_or_to_compile_as_dspys_signatures_say() -> None:
    given = {"num_candidates": 3, "num_trials": 4, "max_labeled_demos": 2, "minibatch": False, "seed": 5, "auto": None}
    optimizer = Miprov2(given, Sizes(12, 8, 1))
    assert optimizer.constructor_arguments == {"num_candidates": 3, "max_labeled_demos": 2, "auto": None}
    assert optimizer.compile_arguments == {"num_trials": 4, "minibatch": False, "seed": 5}
    assert optimizer.arguments == given


def test_a_config_may_not_give_what_the_run_supplies() -> None:
    assert "sample" in LabeledFewShot.parameters() and "trainset" not in LabeledFewShot.parameters()
    assert "teacher" not in BootstrapFewShot.parameters() and "student" not in BootstrapFewShot.parameters()


def test_a_search_starts_from_the_runs_seed_and_leaves_the_program_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[float, float]] = []
    program = dspy.Predict("text -> label")
    inputs = Inputs([], None, *[None] * 5, num_threads=1, seed=2**32 + 7)  # type: ignore[arg-type, list-item]

    def compiled(self: Optimizer, built: object, student: dspy.Module, inputs: Inputs) -> dspy.Module:
        drawn.append((random.random(), float(np.random.random())))
        assert student is not program
        return student

    monkeypatch.setattr(LabeledFewShot, "compile", compiled)
    for _ in range(2):
        LabeledFewShot({}, Sizes(1, 0, 1)).search(program, inputs)
    assert drawn[0] == drawn[1] == (random.Random(2**32 + 7).random(), np.random.RandomState(7).random_sample())
