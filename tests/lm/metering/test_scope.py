"""Who asks an LM, and what its calls are counted in."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest

from dspytrack.config.schema import Price
from dspytrack.lm.metering.scope import (
    OWN,
    Label,
    current_scope,
    in_phase,
    is_labelled,
    is_scoped,
    label_of,
    labelled,
    tallied,
)


def test_a_copy_of_an_lm_keeps_its_label() -> None:
    label = Label("judge", Price(input_per_million=1, output_per_million=2), server="http://a")
    lm = labelled(SimpleNamespace(), label)
    assert label_of(copy.copy(lm)) == label_of(lm) == label
    assert is_labelled(lm)


@pytest.mark.parametrize(("kwargs", "server"), [({"api_base": "http://a"}, "http://a"), ({}, ""), (None, "")])
def test_an_lm_that_the_run_did_not_build_is_its_own_role_at_its_own_server(
    kwargs: dict[str, str] | None, server: str
) -> None:
    lm = SimpleNamespace(kwargs=kwargs)
    assert label_of(lm) == Label(OWN, server=server)
    assert label_of(object()) == Label(OWN)
    assert not is_labelled(lm)


def test_calls_are_counted_in_the_innermost_scope_and_each_scope_ends_with_its_block() -> None:
    assert not is_scoped()
    with in_phase(3), tallied("a:") as outer:
        assert is_scoped()
        with tallied("b:") as inner:
            scope = current_scope()
            assert (scope.tally, scope.namespace, scope.phase) == (inner, "b:", 3)
            assert scope.tally is inner
        assert current_scope().tally is outer and current_scope().namespace == "a:"
    assert not is_scoped() and current_scope().phase is None


def test_a_phase_changes_nothing_else_in_the_scope_and_ends_where_its_work_fails() -> None:
    with tallied("a:") as tally:
        with pytest.raises(ValueError), in_phase(2):
            assert (current_scope().tally is tally, current_scope().namespace, current_scope().phase) == (True, "a:", 2)
            raise ValueError
        assert current_scope().phase is None
    with pytest.raises(ValueError), tallied():
        raise ValueError
    assert not is_scoped()
