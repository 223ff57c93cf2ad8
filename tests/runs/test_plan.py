"""Every mistake in what a user gives: exit code 2, one sentence with file, line, key and the nearest right word."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dspytrack.config.loader import load_request
from dspytrack.errors import UsageError
from dspytrack.optimizers.registry import OPTIMIZERS
from dspytrack.pipeline import OptimizationPipeline
from dspytrack.runs.plan import make_plan
from dspytrack.tracking import MLflowConfig
from tests.support.configs import ROWS, SIGNATURE, edited, fault, write
from tests.support.lm_server import lm_server
from tests.support.requests import request, rows


def spoilt(line: str) -> str:
    """The good data with another seventh line."""
    return "\n".join([*map(json.dumps, ROWS[:6]), line, *map(json.dumps, ROWS[7:])])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a good config and data."""
    monkeypatch.setenv("OPENAI_API_KEY", "a-key")
    return write(tmp_path)


def test_the_good_config_is_good(folder: Path) -> None:
    make_plan(load_request(folder / "config.yaml"))


def test_checking_a_config_of_a_provider_that_dspy_calls_itself_does_not_wait_for_litellm(folder: Path) -> None:
    check = "from dspytrack.config.loader import load_request; from dspytrack.runs.plan import make_plan; "
    check += "import sys; from pathlib import Path; make_plan(load_request(Path('config.yaml'))); "
    check += "print('litellm' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", check], cwd=folder, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


def test_any_of_the_keys_that_a_provider_takes_will_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GEMINI_API_KEY", raising=False)
    monkeypatch.delenv("GOOGLE_API_KEY", raising=False)
    edited(folder, "openai/gpt-4o-mini", "gemini/gemini-2.5-flash")
    assert "GEMINI_API_KEY or GOOGLE_API_KEY" in str(fault(folder))
    monkeypatch.setenv("GOOGLE_API_KEY", "a-key")
    make_plan(load_request(folder / "config.yaml"))


LM = "{model: openai/gpt-4o-mini}"
INSTRUCTIONS = "  instructions: Name the mood."
AGENT = "  instructions: Name the mood.\n  module: react\n"
TOOLED = AGENT + "  tools: ['own:raises']\n  params: "


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "says"),
    [
        ("program:", "programm:", 2, "programm", "Did you mean `program`"),
        ("  inputs: [text]", "  inputs: text", 7, "dataset.inputs", "list"),
        ("  inputs: [text]", "  inputs: [texd]", 7, "dataset.inputs", "the data has no `texd`"),
        ("{id: mood}", "{id: mood", None, None, "not valid YAML"),
        ("{model: openai/gpt-4o-mini}", "{model: openai/x, api_key: abc}", 9, "lm.api_key", "environment only"),
        (
            "{model: openai/gpt-4o-mini}",
            "{model: openai/x, options: {x: sk-abcdefghijklmnopqrstu}}",
            9,
            None,
            "secrets",
        ),
        (
            "{model: openai/gpt-4o-mini}",
            "{model: openai/x, options: {extra_headers: {Authorization: abc}}}",
            9,
            "lm.options.extra_headers.Authorization",
            "environment only",
        ),
        (
            "{model: openai/gpt-4o-mini}",
            "{model: openai/x, options: {extra_headers: {x-api-key: abc}}}",
            9,
            "lm.options.extra_headers.x-api-key",
            "environment only",
        ),
        (
            "{model: openai/gpt-4o-mini}",
            "{model: openai/x, api_base: 'http://me:pw@host/v1'}",
            9,
            "lm.api_base",
            "secret",
        ),
        (
            "{name: exact_match, field: label}",
            "{name: exact_match, field: label, tolerance: 1}",
            8,
            "metric",
            "tolerance",
        ),
        ("  instructions: Name the mood.", "  tools: ['own:number']", 2, "program", "`module: react` go together"),
        ("{model: openai/gpt-4o-mini}", "{model: '${MODEL_NAME}'}", 9, "lm.model", "MODEL_NAME is not set"),
        ("{model: openai/gpt-4o-mini}", "{model: nobody/knows-this}", 9, "lm.model", "no provider knows"),
        (
            "{model: openai/gpt-4o-mini}",
            "{model: anthropic/claude-3-haiku-20240307}",
            9,
            "lm.model",
            "ANTHROPIC_API_KEY",
        ),
        (LM, "{model: openai/x, api_base: not an address}", 9, "lm.api_base", "http://localhost:8000/v1; it does not"),
        (LM, "{model: openai/x, api_base: 'http://'}", 9, "lm.api_base", "it names no server"),
        (LM, "{model: openai/x, api_base: 'http://localhost:99999'}", 9, "lm.api_base", "Port out of range"),
        (LM, "{model: openai/x, temperature: -4}", 9, "lm.temperature", "greater than or equal to 0"),
        (LM, "{model: openai/x, options: {temperature: -4}}", 9, "lm.options.temperature", "0 or more, not -4"),
        (LM, "{model: openai/x, options: {modle: 1}}", 9, "lm.options.modle", "Did you mean `model`"),
        (LM, "{model: openai/x, options: {top_pp: 1}}", 9, "lm.options.top_pp", "Did you mean `top_p`"),
        (LM, "{model: openai/x, options: {price: 1}}", 9, "lm.options.price", "stands beside `options`"),
        (LM, "{model: openai/x, options: {cache: true}}", 9, "lm.options.cache", "is set by the run"),
        (LM, "{model: local, path: data.jsonl}", 9, "lm.path", "data.jsonl is no GGUF file"),
        (INSTRUCTIONS, "  params: {temprature: 1}", 4, "program.params.temprature", "Did you mean `temperature`"),
        (INSTRUCTIONS, "  params: {temperature: hot}", 4, "program.params.temperature", "expected a number, 0 or more"),
        (INSTRUCTIONS, AGENT + "  tools: ['own:number']", 6, "program.tools.0", "is a int; expected a function"),
        (
            INSTRUCTIONS,
            AGENT + "  tools: ['own:raises']\n  params: {max_itr: 1}",
            7,
            "program.params.max_itr",
            "max_iters",
        ),
        (
            INSTRUCTIONS,
            AGENT + "  tools: ['own:raises']\n  params: {max_iters: x}",
            7,
            "program.params.max_iters",
            "int",
        ),
        ("name: labeled_few_shot", "name: labelled_few_shot", 11, "optimizer.name", "`labeled_few_shot`"),
        ("{k: 2}", "{kk: 2}", 12, "optimizer.params.kk", "is no parameter"),
        ("field: label", "field: lable", 8, "metric.field", "Did you mean `label`"),
        ("name: exact_match", "name: exact_mach", 8, "metric.name", "Did you mean `exact_match`"),
        ("path: data.jsonl", "path: nothing.jsonl", 6, "dataset.path", "no such file"),
        ("path: data.jsonl", "path: config.yaml", 6, "dataset.path", ".jsonl"),
        ('signature: "text -> label"', 'signature: "text label"', 3, "program.signature", "text -> label"),
        (
            'signature: "text -> label"\n  instructions: Name the mood.',
            "import: nowhere:It",
            3,
            "program.import",
            "nowhere",
        ),
        ("name: exact_match, field: label", "import: 'own:nothing'", 8, "metric.import", "has no `nothing`"),
        ("name: exact_match, field: label", "import: 'own:number'", 8, "metric.import", "expected a function"),
        ("name: exact_match, field: label", "import: 'own:raises'", 8, "metric.import", "raises on the first example"),
        (
            'signature: "text -> label"\n  instructions: Name the mood.',
            "import: 'own:Wrong'",
            3,
            "program.import",
            "raises",
        ),
        (
            'signature: "text -> label"\n  instructions: Name the mood.',
            "import: 'own:number'",
            3,
            "program.import",
            "int",
        ),
    ],
)
def test_a_mistake_in_the_config_is_named(
    folder: Path, old: str, new: str, line: int | None, key: str | None, says: str
) -> None:
    (folder / "own.py").write_text(
        "import dspy\n\nnumber = 3\n\n\ndef raises(example, prediction):\n    raise KeyError('label')\n\n\n"
        "class Wrong(dspy.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.p = dspy.Predict('text -> label')\n\n    def forward(self, txt):\n"
        "        return self.p(text=txt)\n"
    )
    error = fault(edited(folder, old, new))
    assert says in str(error)
    assert error.exit_code == 2
    assert "config.yaml" in str(error.file) or "data.jsonl" in str(error.file)
    if line is not None:
        assert error.line == line, str(error)
    if key is not None:
        assert error.key == key


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "no examples"),
        (json.dumps(ROWS[0]) + "\n", "needs 2 or more"),
        ('{"text": "a", "label": "b"}\n{"text": \n', "data.jsonl:2: not JSON"),
        ("[1]\n[2]\n", "data.jsonl:1: expected a JSON object"),
        ("".join(json.dumps({"txt": str(i), "label": "x"}) + "\n" for i in range(9)), "no `text` at data.jsonl:1. Did"),
        ("".join(json.dumps(row) + "\n" for row in ROWS[:2]), "split is empty"),
        (spoilt('{"text": "x", "labl": "up"}'), "the data has no `label` at data.jsonl:7. Did you mean `labl`? It has"),
        (spoilt('{"text": "x", "label": null}'), "the label `label` at data.jsonl:7 is null"),
        (spoilt('{"text": "x", "label": NaN}'), "`label` at data.jsonl:7 holds NaN or Infinity"),
        (spoilt('{"text": "x", "label": "up", "more": [-Infinity]}'), "`more` at data.jsonl:7 holds NaN or Infinity"),
        (spoilt("[" * 100_000), "data.jsonl:7: is nested too deeply"),
        (spoilt('{"text": "x", "label": ' + "1" * 5000 + "}"), "data.jsonl:7: cannot be read: Exceeds the limit"),
    ],
)
def test_a_mistake_in_the_data_is_named(folder: Path, content: str, says: str) -> None:
    (folder / "data.jsonl").write_text(content)
    assert says in str(fault(folder))


@pytest.mark.parametrize(
    ("metric", "label", "says"),
    [
        ("contains", '" "', "the label `label` at data.jsonl:7 is empty"),
        ("numeric_match", '"many"', "the label `label` at data.jsonl:7 is no number: 'many'"),
        ("numeric_match", "true", "the label `label` at data.jsonl:7 is no number: 'True'"),
    ],
)
def test_a_label_that_a_metric_cannot_compare_with_is_named(folder: Path, metric: str, label: str, says: str) -> None:
    numbers = [json.dumps({"text": f"thing {i}", "label": f"{i},000"}) for i in range(20)]
    (folder / "data.jsonl").write_text("\n".join([*numbers[:6], f'{{"text": "x", "label": {label}}}', *numbers[7:]]))
    edited(folder, "name: exact_match", f"name: {metric}")
    assert says in str(fault(folder))
    (folder / "data.jsonl").write_text("\n".join(numbers))
    make_plan(load_request(folder / "config.yaml"))


def test_a_metrics_field_that_the_data_of_an_imported_program_has_not_is_named_with_the_nearest(folder: Path) -> None:
    (folder / "imported_mood.py").write_text("import dspy\n\nmood = dspy.Predict('text -> label')\n")
    edited(folder, SIGNATURE, "import: 'imported_mood:mood'")
    make_plan(load_request(folder / "config.yaml"))
    error = fault(folder, "metric.field=labl")
    assert error.key == "metric.field"
    assert "the data has no `labl` at data.jsonl:" in str(error)
    assert "Did you mean `label`?" in str(error)


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ("[text, txet]", "the signature has no input `txet`. Did you mean `text`?"),
        ("[text, label]", "`label` is an output of the signature, and no input of it"),
    ],
)
def test_an_input_that_the_signature_does_not_take_is_named(folder: Path, inputs: str, says: str) -> None:
    (folder / "data.jsonl").write_text("".join(json.dumps(row | {"txet": "a"}) + "\n" for row in ROWS))
    error = fault(edited(folder, "inputs: [text]", f"inputs: {inputs}"))
    assert says in str(error)
    assert (error.key, error.line) == ("dataset.inputs", 7)


def test_an_example_in_two_files_names_both_lines(folder: Path) -> None:
    (folder / "test.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in [{"text": "new", "label": "up"}, ROWS[4]])
    )
    edited(folder, "path: data.jsonl", "train: data.jsonl\n  test: test.jsonl")
    said = str(fault(folder))
    assert "data.jsonl:5" in said
    assert "test.jsonl:2" in said


def test_splits_that_do_not_add_up_or_leave_a_part_empty(folder: Path) -> None:
    assert "add up to 1" in str(fault(folder, "dataset.split={train: 0.5, val: 0.2, test: 0.4}"))
    assert "above 0" in str(fault(folder, "dataset.split={train: 0, val: 0.5, test: 0.5}"))


def test_a_missing_key_names_the_variable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    assert "OPENAI_API_KEY" in str(fault(folder))


def test_a_cap_that_cannot_hold_the_two_evaluations(folder: Path) -> None:
    error = fault(folder, "constraints.max_lm_calls=10")
    assert error.key == "constraints.max_lm_calls"
    assert "16" in str(error)


def test_a_cost_cap_needs_a_known_price(folder: Path) -> None:
    error = fault(folder, "constraints.max_cost_usd=1", "lm.model=openai/some-model-of-ours")
    assert error.key == "lm.price"
    assert "input_per_million" in str(error)
    price = "lm.price={input_per_million: 1, output_per_million: 2}"
    make_plan(load_request(folder / "config.yaml", ["constraints.max_cost_usd=1", "lm.model=openai/ours", price]))


def test_optimizer_values_that_would_fail_in_the_middle(folder: Path) -> None:
    for settings in (
        ["optimizer={name: simba, params: {bsize: 50}}"],
        ["optimizer={name: copro, params: {breadth: 1}}"],
        ["optimizer={name: bootstrap_random_search, params: {max_bootstrapped_demos: 0}}"],
        ["optimizer={name: bootstrap_random_search, params: {num_candidate_programs: many}}"],
        ["optimizer={name: labeled_few_shot, params: {k: '4'}}"],
        ["optimizer={name: miprov2, params: {num_candidates: 3}}"],
        ["optimizer={name: miprov2, params: {auto: light, num_trials: 3}}"],
        ["optimizer={name: miprov2, params: {num_candidates: 3, num_trials: 3, minibatch: true, minibatch_size: 30}}"],
        ["optimizer={name: miprov2, params: {auto: lite}}"],
        ["optimizer={name: gepa, params: {auto: light, max_metric_calls: 10}}"],
    ):
        assert (fault(folder, *settings).key or "").startswith("optimizer.params")


@pytest.mark.parametrize(
    ("name", "param", "value", "least"),
    [
        ("labeled_few_shot", "k", -1, 1),
        ("bootstrap_few_shot", "max_labeled_demos", -2, 0),
        ("bootstrap_few_shot", "max_bootstrapped_demos", -1, 0),
        ("bootstrap_random_search", "num_candidate_programs", -5, 0),
        ("bootstrap_random_search", "max_bootstrapped_demos", 0, 1),
        ("copro", "depth", 0, 1),
        ("copro", "init_temperature", -0.5, 0),
        ("miprov2", "num_candidates", 0, 1),
        ("miprov2", "num_trials", 0, 1),
        ("miprov2", "minibatch_full_eval_steps", 0, 1),
        ("gepa", "max_metric_calls", 0, 1),
        ("gepa", "max_metric_calls", -5, 1),
        ("gepa", "max_full_evals", 0, 1),
        ("simba", "bsize", 0, 1),
        ("simba", "num_candidates", 0, 1),
        ("simba", "temperature_for_sampling", 0.0, 0.01),
        ("simba", "temperature_for_candidates", ".nan", 0.01),
    ],
)
def test_a_value_below_what_an_optimizer_takes(folder: Path, name: str, param: str, value: float, least: float) -> None:
    edited(folder, "name: labeled_few_shot\n  params: {k: 2}", f"name: {name}\n  params: {{{param}: {value}}}")
    error = fault(folder)
    assert (error.line, error.key) == (12, f"optimizer.params.{param}")
    shown = "nan" if value == ".nan" else f"{value:g}"
    assert error.message == f"{param} is {shown}; at least {least:g} expected"


def test_miprov2_is_refused_what_it_cannot_part_or_draw_from(folder: Path) -> None:
    (folder / "test.jsonl").write_text(json.dumps({"text": "new", "label": "up"}) + "\n")
    (folder / "train.jsonl").write_text(json.dumps({"text": "old", "label": "up"}) + "\n")
    edited(folder, "path: data.jsonl", "train: train.jsonl\n  test: test.jsonl")
    assert "2 train examples" in str(fault(folder, "optimizer={name: miprov2}"))
    write(folder)
    assert "max_labeled_demos 0" in str(fault(folder, "optimizer={name: miprov2, params: {max_bootstrapped_demos: 0}}"))
    none = "{max_bootstrapped_demos: 0, max_labeled_demos: 0}"
    make_plan(load_request(folder / "config.yaml", [f"optimizer={{name: miprov2, params: {none}}}"]))


@pytest.mark.integration
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_least_value_of_each_number_is_taken_by_the_real_optimizer(folder: Path, name: str) -> None:
    least = dict(OPTIMIZERS[name].minimums)
    if name == "gepa":
        del least["max_full_evals"]  # one budget is given
    with lm_server() as server:
        pipeline = OptimizationPipeline(enable_tracking=False, runs_dir=folder / "runs")
        spec = {"name": name, "params": least}
        asked = request(server.api_base, folder, optimizer=spec, evaluation={"num_threads": 2})
        result = pipeline.run(asked, training_data=rows(24))
    assert (result.status, result.error) == ("completed", None)


def test_a_tracking_address_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "locallhost:5000")
    with pytest.raises(UsageError, match=r"MLFLOW_TRACKING_URI.*http://localhost:5000"):
        MLflowConfig.load()
    with pytest.raises(UsageError, match="no such file"):
        MLflowConfig.load(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("http://", "it names no server"),
        ("http://:5000", "it names no server"),
        ("http://localhost:99999", "Port out of range 0-65535"),
        ("http://localhost:port", "Port could not be cast"),
        ("http://bad host/", "it holds a space"),
        ("https:/foo", "it names no server"),
        ("http:localhost", "it names no server"),
        ("http://[::1", "Invalid IPv6 URL"),
        ("sqlite:/x.db", None),
        ("sqlite://x.db", "three slashes"),
        ("sqlite://", "three slashes"),
        ("sqlite:x.db", None),
        ("postgresql:/host/db", None),
        ("postgresql://", "it names no server"),
        ("postgresql://me:secret-word@host:99999/db", "Port out of range"),
        ("mysql+pymysql://host:port/db", "its port is no number"),
        ("ftp://host", None),
        ("mlruns", None),
    ],
)
def test_an_address_that_only_looks_like_one(monkeypatch: pytest.MonkeyPatch, address: str, why: str | None) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        with monkeypatch.context() as patch, pytest.raises(UsageError) as caught:
            patch.setenv(name, address)
            MLflowConfig.load()
        said = str(caught.value)
        assert said.startswith(f"{name}: expected an address such as http://localhost:5000 or sqlite:///mlflow.db, not")
        assert why is None or f"({why}" in said or why in said.partition("(")[2]
        assert "secret-word" not in said


@pytest.mark.parametrize(
    "address",
    [
        "http://localhost:5000",
        "https://me:word@host/mlflow",
        "http://[::1]:5000",
        "sqlite:///x.db",
        "sqlite:////x.db",
        "sqlite:///:memory:",
        "postgresql+psycopg2://me:p%40ss@host:5432/db",
        "postgresql:///db",
        "postgresql://?host=/var/run",
        "mysql+pymysql://host/db?charset=utf8",
        "databricks",
        "databricks://profile",
        "databricks-uc",
    ],
)
def test_an_address_that_is_one(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert MLflowConfig.load().tracking_uri.endswith(address.partition(":")[2])


def test_settings_that_a_provider_may_have_of_its_own_pass(folder: Path) -> None:
    own = (
        "{top_k: 4, top_a: 0.2, min_p: 0.1, num_ctx: 4096, foo: 1, extra_body: {modle: 1}, seed: 3, temperature: null}"
    )
    make_plan(load_request(folder / "config.yaml", [f"lm.options={own}", "program.params={n: 1, foo: 2}"]))


def test_an_env_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.env").write_bytes(b"MLFLOW_EXPERIMENT_NAME=caf\xe9\n")
    for path in (tmp_path / "latin.env", Path("/proc/self/mem")):
        with pytest.raises(UsageError, match=rf"^{path}: cannot be read: .*expected lines such as"):
            MLflowConfig.load(path)


def test_every_message_is_one_sentence_on_one_line(folder: Path) -> None:
    for old, new in (("program:", "programm:"), ("{k: 2}", "{kk: 2}"), ("path: data.jsonl", "path: x.jsonl")):
        assert not re.search(r"[\n\t]", str(fault(edited(folder, old, new))))
