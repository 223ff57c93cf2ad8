"""How many program calls an optimizer's search makes, told before it starts: [least, most].

Owns the arithmetic alone, read off DSPy's optimizers; what a program call takes is `estimate.py`'s.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_AUTO = {"light": (6, 100), "medium": (12, 300), "heavy": (18, 1000)}  # candidates and most val examples of `auto`
MIN_BATCHED = 50  # val examples above which MIPROv2's `auto` scores on minibatches


@dataclass(frozen=True)
class Sizes:
    """What an estimate of LM calls depends on: examples in each split, predictors of the program."""

    train: int
    val: int
    predictors: int


def random_search_calls(sizes: Sizes, params: Mapping[str, Any]) -> tuple[int, int]:
    """BootstrapFewShotWithRandomSearch: every candidate on all of val; bootstrapping stops when it has its demos."""
    candidates = int(params.get("num_candidate_programs", 16)) + 3
    scored = candidates * (sizes.val or sizes.train)
    boots = (candidates - 2) * sizes.train if params.get("max_bootstrapped_demos", 4) else 0
    return scored, scored + boots


def copro_calls(sizes: Sizes, params: Mapping[str, Any]) -> tuple[int, int]:
    """COPRO: breadth x depth instructions for each predictor, thought of and then scored on train, equal ones once."""
    breadth, depth = int(params.get("breadth", 10)), int(params.get("depth", 3))
    instructions = sizes.predictors * depth * breadth
    return sizes.train, instructions * (sizes.train * sizes.predictors + 1)


def simba_calls(sizes: Sizes, params: Mapping[str, Any]) -> tuple[int, int]:
    """SIMBA: a batch for each candidate and step, twice and with a rule, then the winners on all of train."""
    batch = int(params.get("bsize", min(32, sizes.train)))
    candidates, steps = int(params.get("num_candidates", 6)), int(params.get("max_steps", 8))
    most = steps * candidates * (2 * batch + 1) + (candidates + 1) * sizes.train
    return steps * batch * candidates, most


def gepa_calls(sizes: Sizes, params: Mapping[str, Any]) -> tuple[int, int]:
    """GEPA: its budget in metric calls, which it may overrun by an evaluation that has begun."""
    val = sizes.val or sizes.train
    if params.get("max_metric_calls"):
        budget = int(params["max_metric_calls"])
    elif params.get("max_full_evals"):
        budget = int(params["max_full_evals"]) * (sizes.train + sizes.val)
    else:
        import dspy

        candidates = _AUTO[params.get("auto") or "light"][0]
        budget = int(dspy.GEPA.auto_budget(None, sizes.predictors, candidates, val))
    return budget, budget + 2 * val


def miprov2_calls(sizes: Sizes, params: Mapping[str, Any]) -> tuple[int, int]:
    """MIPROv2: its trials, on minibatches where val is large; at most, every demo set needs all of train."""
    demos = params.get("max_bootstrapped_demos", 4) or params.get("max_labeled_demos", 4)
    choices = sizes.predictors * (2 if demos else 1)
    val = sizes.val or max(1, int(sizes.train * 0.8))
    if params.get("auto", "light") is None:
        candidates, trials = int(params["num_candidates"]), int(params["num_trials"])
        minibatch = bool(params.get("minibatch", True))
    else:
        candidates, most = _AUTO[params.get("auto", "light")]
        val = min(val, most)
        trials = int(max(2 * choices * math.log2(candidates), 1.5 * candidates))
        minibatch = val > MIN_BATCHED
    if minibatch:
        full = trials // int(params.get("minibatch_full_eval_steps", 5)) + 1
        scored = int(params.get("minibatch_size", 35)) * trials + val * (full + 1)
    else:
        scored = val * (trials + 1)
    sets = max(0, candidates - 2) * sizes.train if demos else 0
    proposals = (10 + candidates * sizes.predictors) // sizes.predictors + 2
    return scored, scored + sets + proposals
