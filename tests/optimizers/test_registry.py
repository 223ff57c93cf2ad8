"""The optimizers by name, and what is said of a config that names or fills them wrongly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dspytrack import optimizers
from dspytrack.config import schema
from dspytrack.errors import ConfigError
from dspytrack.optimizers.protocol import Inputs, Sizes
from dspytrack.optimizers.registry import OPTIMIZERS, configure
from dspytrack.runs.plan import make_plan
from tests.support.requests import request, rows

SHARED = {"__init__.py", "protocol.py", "registry.py", "candidates.py"}


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    """What a run of 40 examples gives its optimizers."""
    return make_plan(request("http://127.0.0.1:9/v1", tmp_path), rows(40)).inputs


def fault(inputs: Inputs, name: str, **params: Any) -> ConfigError:
    """What is said of an optimizer's parameters."""
    with pytest.raises(ConfigError) as caught:
        configure(schema.Optimizer(name=name, params=params), inputs, 1, "optimizer")
    return caught.value


def test_each_optimizer_is_one_file() -> None:
    files = {path.name for path in Path(optimizers.__path__[0]).glob("*.py")}
    assert files - SHARED == {f"{name}.py" for name in OPTIMIZERS}
    assert {kind.__module__.rpartition(".")[2] for kind in OPTIMIZERS.values()} == set(OPTIMIZERS)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_passes_to_dspy_what_it_says_the_run_supplies(
    name: str, inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, passed = OPTIMIZERS[name], {}

    class Recorded:
        """Keeps what it is given."""

        def __init__(self, **arguments: object) -> None:
            passed["constructor"] = arguments

        def compile(self, student: object, **arguments: object) -> object:
            passed["compile"] = arguments
            return student

    optimizer = kind({}, Sizes(len(inputs.trainset), len(inputs.valset or ()), 1))
    optimizer.constructor_arguments = optimizer.compile_arguments = {}
    monkeypatch.setattr(kind, "dspy_class", Recorded)
    optimizer.compile(optimizer.build(inputs), object(), inputs)
    assert set(passed["constructor"]) == kind.constructor_inputs
    assert set(passed["compile"]) == kind.compile_inputs
    metric = passed["constructor"].get("metric")
    assert metric in ((inputs.metric.with_feedback,) if kind.uses_feedback else (inputs.metric.plain, None))


def test_an_unknown_name_is_answered_with_the_nearest_and_all(inputs: Inputs) -> None:
    error = fault(inputs, "mipro")
    assert error.key == "optimizer.name"
    assert error.message.startswith("unknown optimizer `mipro`. Did you mean `miprov2`? Known: labeled_few_shot, ")


@pytest.mark.parametrize(
    ("name", "params", "key", "says"),
    [
        ("simba", {"bsise": 8}, "params.bsise", "`bsise` is no parameter of it (simba). Did you mean `bsize`?"),
        ("gepa", {"metric": "f"}, "params.metric", "`metric` is supplied by the run (gepa)."),
        ("copro", {"eval_kwargs": {}}, "params.eval_kwargs", "`eval_kwargs` is supplied by the run (copro)."),
        ("simba", {"seed": 3}, "params.seed", "`seed` is supplied by the run (simba)."),
        ("copro", {"breadth": "3"}, "params.breadth", "expected int"),
        ("miprov2", {"max_labeled_demos": None}, "params.max_labeled_demos", "expected int"),
        ("miprov2", {"num_candidates": 3, "num_trials": 3, "minibatch_size": "a"}, "params.minibatch_size", "expected"),
        ("copro", {"breadth": 1}, "params.breadth", "breadth is 1; at least 2 expected"),
        ("simba", {"bsize": 500}, "params", "bsize 500 needs as many train examples, there are 16"),
        ("bootstrap_random_search", {"restrict": [99]}, "params", "restrict must list some of the numbers"),
        ("gepa", {"auto": None}, "params", "gepa: Exactly one of max_metric_calls, max_full_evals, auto must be set."),
        ("gepa", {"track_best_outputs": True}, "params", "gepa: track_stats must be True"),
    ],
)
def test_a_wrong_parameter_is_named_with_its_key(
    inputs: Inputs, name: str, params: dict[str, Any], key: str, says: str
) -> None:
    error = fault(inputs, name, **params)
    assert error.key == f"optimizer.{key}"
    assert error.message.startswith(says)


def test_the_run_never_gives_miprov2_the_seed_0_which_it_takes_for_none(inputs: Inputs) -> None:
    assert inputs.seed == 0
    assert configure(schema.Optimizer(name="miprov2"), inputs, 1, "optimizer").build(inputs).seed == 9


def test_miprov2_may_have_a_seed_of_its_own(inputs: Inputs) -> None:
    spec = schema.Optimizer(name="miprov2", params={"seed": 3})
    assert configure(spec, inputs, 1, "optimizer").compile_arguments == {"seed": 3}


def test_configuring_an_optimizer_prints_nothing(inputs: Inputs, capsys: pytest.CaptureFixture[str]) -> None:
    configure(schema.Optimizer(name="bootstrap_random_search"), inputs, 1, "optimizer")
    assert capsys.readouterr().out == ""
