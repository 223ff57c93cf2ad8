"""Which optimizers there are, by name, and the check of what a config says of one.

A new optimizer is a file of its own and one line in `OPTIMIZERS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

from dspytrack.config import schema
from dspytrack.errors import ConfigError, did_you_mean
from dspytrack.optimizers.bootstrap_few_shot import BootstrapFewShot
from dspytrack.optimizers.bootstrap_random_search import BootstrapRandomSearch
from dspytrack.optimizers.copro import Copro
from dspytrack.optimizers.gepa import Gepa
from dspytrack.optimizers.labeled_few_shot import LabeledFewShot
from dspytrack.optimizers.miprov2 import Miprov2
from dspytrack.optimizers.protocol import Inputs, Optimizer, Sizes
from dspytrack.optimizers.simba import Simba
from dspytrack.programs.parameters import check_parameters

OPTIMIZERS: dict[str, type[Optimizer]] = {
    one.name: one
    for one in (
        LabeledFewShot,
        BootstrapFewShot,
        BootstrapRandomSearch,
        Copro,
        Miprov2,
        Gepa,
        Simba,
    )
}


def configure(spec: schema.Optimizer, inputs: Inputs, predictors: int, key: str) -> Optimizer:
    """The optimizer that a config names, with its parameters checked and DSPy's class built once; no LM call is made.

    Args:
        spec: its name and parameters.
        inputs: what the run gives it.
        predictors: of the program.
        key: where it stands in the config.

    Raises:
        ConfigError: for an unknown name or parameter, with the nearest known one, and for a value of the wrong type,
            below its least, or refused by DSPy.
    """
    kind = OPTIMIZERS.get(spec.name)
    if kind is None:
        near = did_you_mean(spec.name, OPTIMIZERS)
        raise ConfigError(f"unknown optimizer `{spec.name}`.{near} Known: {', '.join(OPTIMIZERS)}.", key=f"{key}.name")
    supplied = set(kind.constructor_inputs | kind.compile_inputs)
    check_parameters(spec.params, kind.parameters(), supplied, f"{key}.params", spec.name)
    _check_minimums(spec.params, kind.minimums, f"{key}.params")
    optimizer = kind(spec.params, Sizes(len(inputs.trainset), len(inputs.valset or ()), predictors))
    fault = optimizer.fault()
    if fault is not None:
        raise ConfigError(fault, key=f"{key}.params")
    try:
        with redirect_stdout(StringIO()):  # some say on stdout what they are going to do
            optimizer.build(inputs)
    except (ValueError, TypeError, AssertionError) as error:
        raise ConfigError(f"{spec.name}: {error or 'a value is refused'}", key=f"{key}.params") from error
    return optimizer


def _check_minimums(params: Mapping[str, Any], minimums: Mapping[str, float], key: str) -> None:
    for name, least in minimums.items():
        value = params.get(name)
        if value is not None and not value >= least:
            raise ConfigError(f"{name} is {value:g}; at least {least:g} expected", key=f"{key}.{name}")
