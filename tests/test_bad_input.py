"""Every mistake in what a user gives: exit code 2, one sentence with file, line, key and the nearest right word."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dspy
import pytest
from dspy.utils import DummyLM

from dspytrack.config_file import load_request, located
from dspytrack.errors import ConfigError, UsageError
from dspytrack.optimization.plan import make_plan
from dspytrack.optimization.program import TAKEN_IN_CALLS

CONFIG = """\
target: {id: mood}
program:
  signature: "text -> label"
  instructions: Name the mood.
dataset:
  path: data.jsonl
  inputs: [text]
metric: {name: exact_match, field: label}
lm: {model: openai/gpt-4o-mini}
optimizer:
  name: labeled_few_shot
  params: {k: 2}
"""
ROWS = [{"text": f"thing {i}", "label": ("up", "down")[i % 2]} for i in range(20)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a good config and data."""
    monkeypatch.setenv("OPENAI_API_KEY", "a-key")
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (tmp_path / "config.yaml").write_text(CONFIG)
    return tmp_path


def fault(folder: Path, *settings: str) -> ConfigError:
    """What is said of the config in a folder."""
    path = folder / "config.yaml"
    with pytest.raises(ConfigError) as caught, located(path):
        make_plan(load_request(path, settings))
    return caught.value


def edited(folder: Path, old: str, new: str) -> Path:
    """The config with one change."""
    assert old in CONFIG
    (folder / "config.yaml").write_text(CONFIG.replace(old, new))
    return folder


def test_the_good_config_is_good(folder: Path) -> None:
    make_plan(load_request(folder / "config.yaml"))


def test_checking_a_config_of_a_provider_that_dspy_calls_itself_does_not_wait_for_litellm(folder: Path) -> None:
    check = "from dspytrack.config_file import load_request; from dspytrack.optimization.plan import make_plan; "
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
        ("".join(json.dumps(row) + "\n" for row in ROWS[:2]), "part is empty"),
    ],
)
def test_a_mistake_in_the_data_is_named(folder: Path, content: str, says: str) -> None:
    (folder / "data.jsonl").write_text(content)
    assert says in str(fault(folder))


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


def test_a_tracking_address_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dspytrack.tracking import MLflowConfig

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "locallhost:5000")
    with pytest.raises(UsageError, match=r"MLFLOW_TRACKING_URI.*http://localhost:5000"):
        MLflowConfig.load()
    with pytest.raises(UsageError, match="no such file"):
        MLflowConfig.load(tmp_path / "nothing")


def test_every_message_is_one_sentence_on_one_line(folder: Path) -> None:
    for old, new in (("program:", "programm:"), ("{k: 2}", "{kk: 2}"), ("path: data.jsonl", "path: x.jsonl")):
        assert not re.search(r"[\n\t]", str(fault(edited(folder, old, new))))


RAG = """\
import dspy


class Rag(dspy.Module):
    def __init__(self):
        super().__init__()
        self.answer = dspy.Predict("context, text -> label, confidence: float")

    def forward(self, text):
        found = self.answer(context=["a passage"], text=text)
        return dspy.Prediction(context=["a passage"], label=found.label, sure=found.confidence > 0.5)
"""
SIGNATURE = 'signature: "text -> label"\n  instructions: Name the mood.'


def with_metric(folder: Path, body: str, signature: str | None = None, module: str = "predict") -> None:
    """The config with a metric of one expression of `ex` and `pred`, and an imported program or another signature."""
    (folder / "rag.py").write_text(f"{RAG}\n\ndef metric(ex, pred):\n    return {body}\n")
    program = "import: 'rag:Rag'" if signature is None else f"signature: {json.dumps(signature)}\n  module: {module}"
    changed = CONFIG.replace(SIGNATURE, program).replace("name: exact_match, field: label", "import: 'rag:metric'")
    (folder / "config.yaml").write_text(changed)


@pytest.fixture
def _fresh_modules() -> Iterator[None]:
    """Each test's own `rag` is imported anew."""
    sys.modules.pop("rag", None)
    yield
    sys.modules.pop("rag", None)


@pytest.mark.usefixtures("_fresh_modules")
@pytest.mark.parametrize(
    "body",
    [
        "float(any(ex.label in one for one in pred.context))",
        "float(ex.label in pred['context'][0])",
        "float('passage' in pred.toDict()['context'][0])",
        "float(pred.sure) + pred.confidence",
        "ex.label == pred.label",
    ],
)
def test_a_metric_that_reads_what_only_a_real_prediction_of_an_import_has_is_no_mistake(
    folder: Path, body: str
) -> None:
    with_metric(folder, body)
    make_plan(load_request(folder / "config.yaml"))


@pytest.mark.usefixtures("_fresh_modules")
@pytest.mark.parametrize(
    ("signature", "module", "body"),
    [
        ("text -> label, confidence: float", "predict", "(ex.label == pred.label) * pred.confidence"),
        ("text -> label, confidence: float", "predict", "pred.confidence"),
        ("text -> label, kind: Literal['a', 'b']", "predict", "{'a': 0.5, 'b': 1.0}[pred.kind]"),
        ("text -> label, years: list[int] | None", "predict", "max(pred.years) > 1"),
        ("text -> label, known: str", "predict", "float(pred.known.split()[0])"),
        ("text -> label", "chain_of_thought", "len(pred.reasoning) / len(pred.reasoning.split())"),
        ("text -> stars: int", "predict", "1 / (1 + abs(pred.stars - int(ex.stars)))"),
    ],
)
def test_a_metric_that_reads_an_output_without_a_label_is_no_mistake(
    folder: Path, signature: str, module: str, body: str
) -> None:
    (folder / "data.jsonl").write_text("".join(json.dumps(row | {"stars": "3"}) + "\n" for row in ROWS))
    with_metric(folder, body, signature, module)
    make_plan(load_request(folder / "config.yaml"))


@pytest.mark.usefixtures("_fresh_modules")
@pytest.mark.parametrize(
    ("signature", "body"),
    [
        ("text -> label", "pred.lable == ex.label"),
        ("text -> label", "pred.text == ex.text"),
        ("text -> label", "pred['label'] - 1"),
        ("text -> label, confidence: float", "ex.lable == pred.label"),
        ("text -> label, confidence: float", "'good' if pred.confidence < 1 else 'bad'"),
        (None, "ex.lable == pred.context"),
        (None, "pred.label.lowercase() == ex.label"),
        (None, "print(pred)"),
    ],
)
def test_a_metric_that_is_wrong_whatever_the_prediction_is_refused(
    folder: Path, signature: str | None, body: str
) -> None:
    with_metric(folder, body, signature)
    error = fault(folder)
    assert (error.key, error.exit_code) == ("metric.import", 2)
    assert "raises on the first example (data.jsonl:" in str(error)


@pytest.mark.parametrize(
    ("column", "key"),
    [("base", "dataset.inputs"), ("self", "dataset.inputs"), ("dspy_id", "dataset.inputs"), ("demos", None)]
    + [(name, None) for name in ("config", "lm", "signature", "new_signature", "completions")],
)
def test_an_input_that_dspy_keeps_for_itself_is_refused_by_name(folder: Path, column: str, key: str | None) -> None:
    (folder / "data.jsonl").write_text(
        "".join(json.dumps({column: r["text"], "label": r["label"]}) + "\n" for r in ROWS)
    )
    edited(folder, "inputs: [text]", f"inputs: [{column}]")
    (folder / "config.yaml").write_text(
        (folder / "config.yaml").read_text().replace("text -> label", f"{column} -> label")
    )
    error = fault(folder)
    assert f"`{column}`" in str(error)
    assert error.exit_code == 2
    if key is not None:
        assert error.key == key
        assert "data.jsonl:1" in str(error)


def test_a_column_that_dspy_keeps_for_itself_is_refused_with_its_file(folder: Path) -> None:
    (folder / "data.jsonl").write_text("".join(json.dumps(row | {"base": "x"}) + "\n" for row in ROWS))
    assert "the column `base` (data.jsonl:1) would be lost" in str(fault(folder))
    (folder / "data.jsonl").write_text("".join(json.dumps(row | {"demos": "x"}) + "\n" for row in ROWS))
    make_plan(load_request(folder / "config.yaml"))  # no input: nothing is lost
    edited(folder, "inputs: [text]", "inputs: [text, demos]")
    assert "the column `demos` (data.jsonl:" in str(fault(folder))


@pytest.mark.usefixtures("_fresh_modules")
def test_an_imported_program_may_take_such_an_input_where_no_predictor_is_given_it_by_that_name(folder: Path) -> None:
    (folder / "data.jsonl").write_text("".join(json.dumps(row | {"config": "x"}) + "\n" for row in ROWS))
    (folder / "rag.py").write_text(RAG.replace("def forward(self, text)", "def forward(self, text, config)"))
    edited(folder, SIGNATURE, "import: 'rag:Rag'")
    make_plan(load_request(folder / "config.yaml", ["dataset.inputs=[text, config]"]))
    (folder / "rag.py").write_text(RAG.replace("context", "demos"))
    sys.modules.pop("rag")
    error = fault(folder)
    assert error.key == "program.import"
    assert "`demos`" in str(error)


@pytest.mark.parametrize("name", sorted(TAKEN_IN_CALLS | {"base"}))
def test_what_is_refused_as_an_input_is_really_lost_in_dspy(name: str) -> None:
    lm = DummyLM([{"label": "up"}])
    try:
        with dspy.context(lm=lm):
            example = dspy.Example(**{name: "a text"}).with_inputs(name)
            fields = {name: (str, dspy.InputField()), "label": (str, dspy.OutputField())}
            dspy.Predict(dspy.Signature(fields))(**example.inputs())
    except (AssertionError, TypeError, ValueError):
        return
    assert "a text" not in str(lm.history[-1]["messages"])


@pytest.mark.usefixtures("_fresh_modules")
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("import dspy\n", "import dspy\nimport sys\nsys.exit(0)\n"),
        ("super().__init__()", "super().__init__(); import sys; sys.exit(0)"),
        ("found = self", "import sys; sys.exit(0)\n        found = self"),
    ],
)
def test_a_program_that_would_end_the_process_is_a_mistake_like_any_other(folder: Path, old: str, new: str) -> None:
    (folder / "rag.py").write_text(RAG.replace(old, new, 1))
    error = fault(edited(folder, SIGNATURE, "import: 'rag:Rag'"))
    assert (error.key, error.exit_code) == ("program.import", 2)
    assert "SystemExit: 0" in str(error)
