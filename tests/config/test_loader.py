"""The config file: round trip, variables, overrides."""

from __future__ import annotations

import io
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from dspytrack.config.loader import load_request
from dspytrack.config.schema import OptimizationRequest
from dspytrack.errors import ConfigError
from dspytrack.pipeline import OptimizationPipeline
from tests.support.configs import edited, write
from tests.support.lm_server import lm_server

BASE: dict[str, Any] = {
    "target": {"id": "mood"},
    "program": {"signature": "text -> label"},
    "dataset": {"path": "data.jsonl", "inputs": ["text"]},
    "metric": {"name": "exact_match", "field": "label"},
    "lm": {"model": "openai/gpt-4o-mini"},
    "optimizer": {"name": "miprov2"},
}


def written(document: dict[str, Any], path: Path) -> Path:
    """A document as YAML."""
    text = io.StringIO()
    YAML().dump(document, text)
    path.write_text(text.getvalue())
    return path


requests = st.fixed_dictionaries(
    {name: st.just(value) for name, value in BASE.items() if name != "optimizer"}
    | {"optimizer": st.lists(st.sampled_from(["copro", "gepa", "simba"]), min_size=1, max_size=3, unique=True)},
    optional={
        "seed": st.integers(0, 1000),
        "success_threshold": st.floats(0, 1),
        "constraints": st.fixed_dictionaries({}, optional={"max_cost_usd": st.floats(0.01, 100)}),
        "evaluation": st.fixed_dictionaries({}, optional={"num_threads": st.integers(1, 64)}),
        "tracking": st.fixed_dictionaries({"tags": st.dictionaries(st.sampled_from("abc"), st.sampled_from("xyz"))}),
        "objectives": st.just([{"metric": "avg_cost", "weight": 2.0, "target_value": 0.1}]),
    },
)


@given(requests)
@settings(max_examples=25)
def test_a_resolved_request_reads_back_as_itself(tmp_path_factory: pytest.TempPathFactory, document: Any) -> None:
    folder = tmp_path_factory.mktemp("round")
    request = load_request(written(document, folder / "a.yaml"))
    again = load_request(written(request.resolved(), folder / "b.yaml"))
    assert again.resolved() == request.resolved()


def test_variables_are_filled_and_typed(tmp_path: Path) -> None:
    document = BASE | {"seed": "${SEED:-4}", "target": {"id": "${TEAM}-${ROLE:-router}"}}
    path = written(document, tmp_path / "c.yaml")
    request = load_request(path, environ={"TEAM": "support"})
    assert (request.seed, request.target.id) == (4, "support-router")
    assert load_request(path, environ={"TEAM": "x", "SEED": "9"}).seed == 9
    with pytest.raises(ConfigError, match="TEAM is not set"):
        load_request(path, environ={})


@pytest.mark.parametrize(
    "value", ["1.10", "true", "0123456", "12345678", "1e5", "2026-11-24", "v1 # two", "a: b", "[x", "'q'", "~", ""]
)
def test_a_variable_stays_the_text_it_is_where_text_belongs(tmp_path: Path, value: str) -> None:
    document = BASE | {
        "target": {"id": "x${VERSION}"},
        "tracking": {"tags": {"version": "${VERSION}"}},
        "metric": {"name": "llm_judge", "rubric": "good", "lm": {"model": "${VERSION:-}x"}},
        "lm": {"model": "openai/x", "path": "${VERSION}"},
    }
    request = load_request(written(document, tmp_path / "c.yaml"), environ={"VERSION": value})
    assert request.tracking.tags == {"version": value}
    assert request.lm.path == (value if value not in ("~", "") else None)


def test_a_variable_is_read_as_yaml_where_no_text_belongs(tmp_path: Path) -> None:
    document = BASE | {
        "seed": "${N}",
        "success_threshold": "${N}",
        "optimizer": {"name": "${NAME}", "params": {"k": "${N}"}},
        "dataset": {"path": "d.jsonl", "inputs": "${INPUTS}"},
        "constraints": {"max_cost_usd": "${NOTHING:-null}"},
    }
    path = written(document, tmp_path / "c.yaml")
    environ = {"N": "1", "NAME": "copro", "INPUTS": "[a, b]"}
    request = load_request(path, environ=environ)
    assert (request.seed, request.success_threshold, request.optimizer[0].params) == (1, 1.0, {"k": 1})
    assert (request.dataset.inputs, request.constraints.max_cost_usd) == (["a", "b"], None)
    with pytest.raises(ConfigError, match=r"c.yaml:\d+: dataset.inputs: `\$\{INPUTS\}` is not a YAML value: \[a"):
        load_request(path, environ=environ | {"INPUTS": "[a"})


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "PGPASSWORD", "SSH_PASSPHRASE", "MY_CREDENTIALS"])
def test_a_secret_is_not_filled_in(tmp_path: Path, name: str) -> None:
    document = BASE | {"tracking": {"tags": {"a": f"${{{name}}}"}}}
    with pytest.raises(ConfigError, match="would write a secret"):
        load_request(written(document, tmp_path / "c.yaml"), environ={name: "something secret"})


@pytest.mark.parametrize(("name", "value"), [("SORT_KEY", "created_at"), ("PARTITION_KEY", "x7Kq2LmZ9pWv4TnB")])
def test_a_variable_with_an_ordinary_name_is_filled_in(tmp_path: Path, name: str, value: str) -> None:
    document = BASE | {"tracking": {"tags": {"a": f"${{{name}}}"}}}
    assert load_request(written(document, tmp_path / "c.yaml"), environ={name: value}).tracking.tags == {"a": value}


def test_a_key_under_an_ordinary_name_is_known_by_its_value(tmp_path: Path) -> None:
    document = BASE | {"tracking": {"tags": {"a": "${MY_SERVICE_KEY}"}}}
    with pytest.raises(ConfigError, match="would write a secret"):
        load_request(written(document, tmp_path / "c.yaml"), environ={"MY_SERVICE_KEY": "x7Kq2LmZ9pWv4TnB"})


@pytest.mark.parametrize(
    ("setting", "place", "value"),
    [
        ("seed=3", ("seed",), 3),
        ("optimizer.params.auto=light", ("optimizer", 0, "params"), {"auto": "light"}),
        ("constraints.max_cost_usd=2.5", ("constraints", "max_cost_usd"), 2.5),
        ("objectives=[{metric: avg_cost}]", ("objectives", 0, "metric"), "avg_cost"),
        ("program.instructions='a=b'", ("program", "instructions"), "a=b"),
        ("program.instructions=Rule: name: one", ("program", "instructions"), "Rule: name: one"),
        ("tracking.tags.version=1.10", ("tracking", "tags", "version"), "1.10"),
        ("tracking.tags.live=true", ("tracking", "tags", "live"), "true"),
        ("tracking.experiment_name=null", ("tracking", "experiment_name"), None),
    ],
)
def test_an_override_is_read_as_yaml_except_where_text_belongs(
    tmp_path: Path, setting: str, place: tuple[Any, ...], value: Any
) -> None:
    found: Any = load_request(written(BASE, tmp_path / "c.yaml"), [setting]).resolved()
    for key in place:
        found = found[key]
    assert found == value


@pytest.mark.parametrize("setting", ["seed", "=3", "seed=x", "optimizer.0.name=3=", "nothing.here=1", "seed.a=1"])
def test_an_override_that_cannot_be_applied_is_an_error(tmp_path: Path, setting: str) -> None:
    with pytest.raises(ConfigError):
        load_request(written(BASE, tmp_path / "c.yaml"), [setting])


def test_the_schema_knows_every_key() -> None:
    schema = OptimizationRequest.model_json_schema(by_alias=True)
    assert "import" in schema["$defs"]["Program"]["properties"]
    assert schema["additionalProperties"] is False


WRITTEN = """\
options: {top_p: 0.9, top_k: 0x10, big: 1_000, tiny: 1e-3, stream: false, seed: &seed 7, again: *seed, stop: [0.5, ~]}
since: 2026-11-24
at: 2026-11-24T10:00:00Z
"""


def test_values_are_of_pythons_own_classes(tmp_path: Path) -> None:
    document = BASE | {"program": {"import": "own:It"}, "metric": {"import": "own:score"}}
    path = written(document, tmp_path / "c.yaml")
    indented = "".join(f"    {line}\n" for line in WRITTEN.splitlines())
    path.write_text(path.read_text().replace("metric:\n", f"metric:\n  params:\n{indented}"))

    def kinds(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: kinds(inner) for key, inner in value.items()}
        return [kinds(one) for one in value] if isinstance(value, list) else type(value)

    params = load_request(path).metric.params
    assert params["options"] | {"stop": 0} == {
        **{"top_p": 0.9, "top_k": 16, "big": 1000, "tiny": 0.001, "stream": False, "seed": 7, "again": 7, "stop": 0}
    }
    expected = dict.fromkeys(("top_k", "big", "seed", "again"), int) | {"top_p": float, "tiny": float}
    expected |= {"stream": bool, "stop": [float, type(None)]}
    assert kinds(params) == {"options": expected, "since": date, "at": datetime}


def test_a_kind_of_value_that_only_yaml_knows_is_refused_with_its_line(tmp_path: Path) -> None:
    path = written(BASE, tmp_path / "c.yaml")
    path.write_text(path.read_text().replace("name: miprov2", "name: miprov2\n  params: {k: !!set {a, b}}"))
    with pytest.raises(ConfigError, match=r"c.yaml:\d+: optimizer.params.k: expected text, a number"):
        load_request(path)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("{model: openai/gpt-4o-mini}", "{model: openai/gpt-4o-mini, options: {top_p: 0.9}, temperature: 0.5}"),
        ("  instructions: Name the mood.", "  params: {temperature: 0.7}"),
        (
            "name: labeled_few_shot\n  params: {k: 2}",
            "name: copro\n  params: {breadth: 2, depth: 1, init_temperature: 0.9}",
        ),
    ],
)
def test_a_decimal_number_reaches_the_lm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-for-loopback")
    folder = edited(write(tmp_path), old, new)
    with lm_server() as server:
        request = load_request(folder / "config.yaml", [f"lm.api_base={server.api_base}"])
        result = OptimizationPipeline(enable_tracking=False, runs_dir=tmp_path / "runs").run(request)
        asked = [body.get("top_p") or body.get("temperature") for body in server.requests]
    assert (result.status, result.error) == ("completed", None)
    assert {0.9, 0.7} & set(asked)
