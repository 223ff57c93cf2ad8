"""The roles of an LM: each once, and each config key that holds an LM is that of one."""

from __future__ import annotations

from dspytrack.config.schema import LM, OptimizationRequest
from dspytrack.results.roles import LM_KEYS, OPTIMIZER_ROLES, ROLES
from tests.config.test_locations import keys_of


def test_the_keys_of_the_config_that_hold_an_lm_are_those_of_the_roles() -> None:
    found = {".".join(map(str, loc[:-1])) for loc in keys_of(OptimizationRequest) if loc[-1] == "api_key_env"}
    assert found == set(LM_KEYS)
    assert len(LM_KEYS) == len(set(LM_KEYS))


def test_each_role_has_a_name_of_its_own_and_a_meaning() -> None:
    assert len({role.name for role in ROLES}) == len(ROLES)
    assert all(role.meaning for role in ROLES)


def test_an_optimizers_lm_may_be_left_out_of_the_config() -> None:
    for role in OPTIMIZER_ROLES:
        field = OptimizationRequest.model_fields[role.key]
        assert field.annotation == LM | None and not field.is_required()
