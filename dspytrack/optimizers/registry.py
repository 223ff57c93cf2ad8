"""ONE table: an optimizer's name -> how it is built and called. A new optimizer is one row and one test."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dspytrack.config.schema import Optimizer
from dspytrack.errors import ConfigError, did_you_mean
from dspytrack.optimizers import search_calls
from dspytrack.optimizers.search_calls import Sizes
from dspytrack.programs.parameters import check_parameters, parameters_of

if TYPE_CHECKING:
    import dspy

Estimate = Callable[[Sizes, Mapping[str, Any]], "tuple[int, int] | None"]


@dataclass(frozen=True)
class Row:
    """How one optimizer is built.

    `takes` and `compiles` map its constructor's and compile's arguments to what the run supplies (see `supplies`);
    `minimums` are the least values that its numbers may have (below, it fails in the middle or finds nothing);
    `defaults` computes parameters from the run where DSPy's own default would fail; `estimate` gives the least and
    the most program calls of a search; `evaluates` says whether its candidates pass DSPy's Evaluate; `deterministic` is
    True where the same seed and responses give the same program, else a sentence that says what differs; `fault` says
    what is wrong with values that would fail only in the middle of a search.
    """

    class_name: str
    takes: Mapping[str, str] = field(default_factory=dict)
    compiles: Mapping[str, str] = field(default_factory=dict)
    minimums: Mapping[str, float] = field(default_factory=dict)
    defaults: Callable[[Sizes, Mapping[str, Any]], dict[str, Any]] = lambda sizes, params: {}
    estimate: Estimate = lambda sizes, params: None
    evaluates: bool = True
    deterministic: bool | str = True
    fault: Callable[[Sizes, Mapping[str, Any]], str | None] = lambda sizes, params: None


def _gepa_fault(sizes: Sizes, params: Mapping[str, Any]) -> str | None:
    budgets = [name for name in ("auto", "max_full_evals", "max_metric_calls") if params.get(name) is not None]
    return f"give one budget, not {' and '.join(budgets)}" if len(budgets) > 1 else None


def _miprov2_fault(sizes: Sizes, params: Mapping[str, Any]) -> str | None:
    own = [name for name in ("num_candidates", "num_trials") if params.get(name) is not None]
    auto = params.get("auto", "light")
    if not sizes.val and sizes.train < 2:
        return "it needs 2 train examples where there are none in val; there is 1"
    if auto is None and len(own) < 2:
        return "num_candidates and num_trials go together; `auto: light` sets both"
    if auto is not None and own:
        return f"auto and {' and '.join(own)} exclude each other"
    candidates = params.get("num_candidates") if auto is None else None
    demos = params.get("max_bootstrapped_demos", 4), params.get("max_labeled_demos", 4)
    if demos[0] == 0 and demos[1] != 0 and (candidates is None or candidates > _SETS_WITHOUT_DRAWING):
        return "max_bootstrapped_demos 0 needs max_labeled_demos 0, too: it draws a number between 1 and that"
    val, batch = sizes.val or max(1, int(sizes.train * 0.8)), params.get("minibatch_size", 35)
    uses_batches = val > search_calls.MIN_BATCHED if auto is not None else params.get("minibatch", True)
    if uses_batches and batch > val:
        return f"minibatch_size {batch} needs as many val examples, there are {val}"
    return None


def _simba_fault(sizes: Sizes, params: Mapping[str, Any]) -> str | None:
    if params["bsize"] > sizes.train:
        return f"bsize {params['bsize']} needs as many train examples, there are {sizes.train}"
    return None


def _gepa_defaults(sizes: Sizes, params: Mapping[str, Any]) -> dict[str, Any]:
    budgets = {"auto", "max_full_evals", "max_metric_calls"}
    return {} if budgets & set(params) else {"auto": "light"}


def _miprov2_defaults(sizes: Sizes, params: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "auto" not in params and ("num_candidates" in params or "num_trials" in params):
        found["auto"] = None
    if found and "minibatch" not in params and (sizes.val or int(sizes.train * 0.8)) < params.get("minibatch_size", 35):
        found["minibatch"] = False
    return found


def _simba_defaults(sizes: Sizes, params: Mapping[str, Any]) -> dict[str, Any]:
    return {} if "bsize" in params else {"bsize": min(32, sizes.train)}


_COLDEST = 0.01  # SIMBA's weights are exp(score / temperature), which overflows below about 0.0014
_SETS_WITHOUT_DRAWING = 3  # of demos: the first three are of all, without drawing how many are bootstrapped
_DEMOS = {"max_bootstrapped_demos": 0, "max_labeled_demos": 0}
_PLAIN = {"metric": "plain_metric"}
_TEACHER = {"teacher_settings": "teacher_settings", "max_errors": "max_errors"}
_THREADS = {"num_threads": "num_threads"}
_PARTS = {"trainset": "trainset", "valset": "valset"}

OPTIMIZERS: dict[str, Row] = {
    "labeled_few_shot": Row(
        "LabeledFewShot",
        compiles={"trainset": "trainset"},
        minimums={"k": 1},
        evaluates=False,
        estimate=lambda s, p: (0, 0),
    ),
    "bootstrap_few_shot": Row(
        "BootstrapFewShot",
        takes=_PLAIN | _TEACHER,
        compiles={"trainset": "trainset"},
        minimums=_DEMOS | {"max_rounds": 1},
        evaluates=False,
        estimate=lambda s, p: (min(int(p.get("max_bootstrapped_demos", 4)), s.train), s.train),
    ),
    "bootstrap_random_search": Row(
        "BootstrapFewShotWithRandomSearch",
        takes=_PLAIN | _TEACHER | _THREADS,
        compiles=_PARTS,
        minimums=_DEMOS | {"max_bootstrapped_demos": 1, "max_rounds": 1, "num_candidate_programs": 0},
        estimate=search_calls.random_search_calls,
    ),
    "copro": Row(
        "COPRO",
        takes=_PLAIN | {"prompt_model": "prompt_lm"},
        compiles={"trainset": "trainset", "eval_kwargs": "eval_kwargs"},
        minimums={"breadth": 2, "depth": 1, "init_temperature": 0},
        estimate=search_calls.copro_calls,
    ),
    "miprov2": Row(
        "MIPROv2",
        takes=_PLAIN
        | _TEACHER
        | _THREADS
        | {"prompt_model": "prompt_lm", "task_model": "task_lm", "seed": "seed_not_0"},
        compiles=_PARTS,
        minimums=_DEMOS
        | {"num_candidates": 1, "num_trials": 1, "init_temperature": 0}
        | {"minibatch_size": 1, "minibatch_full_eval_steps": 1, "view_data_batch_size": 1},
        defaults=_miprov2_defaults,
        estimate=search_calls.miprov2_calls,
        fault=_miprov2_fault,
    ),
    "gepa": Row(
        "GEPA",
        takes={"metric": "feedback_metric", "reflection_lm": "reflection_lm", "seed": "seed"} | _THREADS,
        compiles=_PARTS,
        minimums={"max_metric_calls": 1, "max_full_evals": 1, "reflection_minibatch_size": 1}
        | {"max_merge_invocations": 0},
        defaults=_gepa_defaults,
        fault=_gepa_fault,
        estimate=search_calls.gepa_calls,
    ),
    "simba": Row(
        "SIMBA",
        takes=_PLAIN | _THREADS | {"prompt_model": "prompt_lm"},
        compiles={"trainset": "trainset", "seed": "seed"},
        minimums={"bsize": 1, "num_candidates": 1, "max_steps": 1, "max_demos": 0, "demo_input_field_maxlen": 1}
        | {"temperature_for_sampling": _COLDEST, "temperature_for_candidates": _COLDEST},
        defaults=_simba_defaults,
        estimate=search_calls.simba_calls,
        fault=_simba_fault,
        evaluates=False,
    ),
}


@dataclass(frozen=True)
class Prepared:
    """An optimizer whose parameters are checked, ready to run: `arguments` are its own, as logged."""

    name: str
    row: Row
    constructor: dict[str, Any]
    compile: dict[str, Any]

    @property
    def arguments(self) -> dict[str, Any]:
        """The optimizer's own parameters, user's and defaulted, without what the run supplies."""
        return self.constructor | self.compile


def prepare(spec: Optimizer, sizes: Sizes, key: str) -> Prepared:
    """Check an optimizer's name and parameters against its real signatures.

    Raises:
        ConfigError: for an unknown name or parameter, with the nearest known one.
    """
    import dspy

    row = OPTIMIZERS.get(spec.name)
    if row is None:
        near = did_you_mean(spec.name, OPTIMIZERS)
        raise ConfigError(f"unknown optimizer `{spec.name}`.{near} Known: {', '.join(OPTIMIZERS)}.", key=f"{key}.name")
    kind = getattr(dspy, row.class_name)
    own = parameters_of(kind.__init__, set(row.takes))
    of_compile = parameters_of(kind.compile, set(row.compiles) | {"student", "teacher"})
    params = row.defaults(sizes, spec.params) | spec.params
    supplied = set(row.takes) | set(row.compiles)
    check_parameters(params, own | of_compile, supplied, f"{key}.params", spec.name)
    _check_minimums(params, row, f"{key}.params")
    fault = row.fault(sizes, params)
    if fault is not None:
        raise ConfigError(fault, key=f"{key}.params")
    constructor = {name: value for name, value in params.items() if name in own}
    return Prepared(spec.name, row, constructor, {k: v for k, v in params.items() if k not in constructor})


def _check_minimums(params: Mapping[str, Any], row: Row, key: str) -> None:
    for name, least in row.minimums.items():
        value = params.get(name)
        if value is not None and not value >= least:
            raise ConfigError(f"{name} is {value:g}; at least {least:g} expected", key=f"{key}.{name}")


def build(prepared: Prepared, supplies: Mapping[str, Any], key: str = "optimizer") -> Any:
    """The optimizer itself; no LM call is made.

    Raises:
        ConfigError: for a value that its constructor refuses.
    """
    import dspy

    taken = {name: supplies[source] for name, source in prepared.row.takes.items()}
    try:
        return getattr(dspy, prepared.row.class_name)(**taken, **prepared.constructor)
    except (ValueError, TypeError, AssertionError) as error:
        raise ConfigError(f"{prepared.name}: {error or 'a value is refused'}", key=f"{key}.params") from error


def run(prepared: Prepared, program: dspy.Module, supplies: Mapping[str, Any]) -> dspy.Module:
    """Build the optimizer and let it search; returns the program it ends with.

    Args:
        prepared: from `prepare`.
        program: the student; optimizers work on copies of it.
        supplies: trainset, valset, plain_metric, feedback_metric, num_threads, seed, seed_not_0, task_lm, prompt_lm,
            reflection_lm, teacher_settings, max_errors, eval_kwargs.
    """
    import numpy as np

    random.seed(supplies["seed"])
    np.random.seed(supplies["seed"] % 2**32)
    given = {name: supplies[source] for name, source in prepared.row.compiles.items()}
    return build(prepared, supplies).compile(program.deepcopy(), **given, **prepared.compile)


def scored_candidates(program: dspy.Module) -> list[tuple[dspy.Module, float]]:
    """Candidates and scores that an optimizer leaves on its program where they pass no Evaluate (SIMBA)."""
    found = getattr(program, "candidate_programs", None) or []
    return [(one["program"], float(one["score"])) for one in found if isinstance(one, dict) and "score" in one]
