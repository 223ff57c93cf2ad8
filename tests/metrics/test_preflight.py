"""Programs, metrics and columns of the user's own: what is refused before a run, and what is not."""

from __future__ import annotations

import copy
import json
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path

import cloudpickle
import dspy
import pytest
from dspy.utils import DummyLM

from dspytrack.config.loader import load_request
from dspytrack.config.schema import Program
from dspytrack.errors import ConfigError
from dspytrack.lm.metering.scope import is_labelled, label_of
from dspytrack.programs.build import TAKEN_IN_CALLS, build_program
from dspytrack.programs.imports import import_object
from dspytrack.runs.plan import make_plan
from tests.support.configs import CONFIG, ROWS, SIGNATURE, edited, fault, write

pytestmark = [pytest.mark.usefixtures("_fresh_modules"), pytest.mark.filterwarnings("ignore:Field name")]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a good config and data."""
    monkeypatch.setenv("OPENAI_API_KEY", "a-key")
    return write(tmp_path)


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


def with_metric(folder: Path, body: str, signature: str | None = None, module: str = "predict") -> None:
    """The config with a metric of one expression of `ex` and `pred`, and an imported program or another signature."""
    (folder / "rag.py").write_text(f"{RAG}\n\ndef metric(ex, pred):\n    return {body}\n")
    program = "import: 'rag:Rag'" if signature is None else f"signature: {json.dumps(signature)}\n  module: {module}"
    changed = CONFIG.replace(SIGNATURE, program).replace("name: exact_match, field: label", "import: 'rag:metric'")
    (folder / "config.yaml").write_text(changed)


@pytest.fixture
def _fresh_modules() -> Iterator[None]:
    """Each test's own modules are imported anew."""
    names = ("rag", "program", "words", "parts", "parts.more")
    for name in names:
        sys.modules.pop(name, None)
    yield
    for name in names:
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    "body",
    [
        "float(any(ex.label in one for one in pred.context))",
        "float(ex.label in pred['context'][0])",
        "float('passage' in pred.toDict()['context'][0])",
        "float(pred.sure) + pred.confidence",
        "ex.label == pred.label",
        "next((ex.label in one for one in pred.get('context', [])), None)",
        "pred.grade",
    ],
)
def test_a_metric_that_reads_what_only_a_real_prediction_of_an_import_has_is_no_mistake(
    folder: Path, body: str
) -> None:
    (folder / "data.jsonl").write_text("".join(json.dumps(row | {"grade": "1"}) + "\n" for row in ROWS))
    with_metric(folder, body)
    make_plan(load_request(folder / "config.yaml"))


@pytest.mark.parametrize(
    ("signature", "body", "raised"),
    [
        ("text -> label, confidence: float", "'good' if pred.confidence < 1 else 'bad'", "AttributeError"),
        (None, "pred.label.lowercase() == ex.label", "AttributeError"),
        (None, "print(ex)", "NoScoreError"),
        (None, "pred.get('context', 'none')", "NoScoreError"),
    ],
)
def test_a_metric_that_may_be_right_on_the_programs_own_prediction_is_a_warning(
    folder: Path, signature: str | None, body: str, raised: str
) -> None:
    with_metric(folder, body, signature)
    [warning] = make_plan(load_request(folder / "config.yaml")).warnings
    assert warning.startswith("`rag:metric` raises on the first example (data.jsonl:") and f": {raised}: " in warning


def test_data_without_any_label_is_no_mistake_of_the_metric(folder: Path) -> None:
    (folder / "data.jsonl").write_text("".join(json.dumps({"text": row["text"]}) + "\n" for row in ROWS))
    with_metric(folder, "len(pred.label) < 9")
    [warning] = make_plan(load_request(folder / "config.yaml")).warnings
    assert "'Prediction' object has no attribute 'label'" in warning


def test_a_metric_that_scores_the_labels_is_no_warning(folder: Path) -> None:
    with_metric(folder, "ex.label == pred.label")
    assert make_plan(load_request(folder / "config.yaml")).warnings == []


@pytest.mark.parametrize(
    ("signature", "module", "body"),
    [
        ("text -> label, confidence: float", "predict", "(ex.label == pred.label) * pred.confidence"),
        ("text -> label, confidence: float", "predict", "pred.confidence"),
        ("text -> label, kind: Literal['a', 'b']", "predict", "{'a': 0.5, 'b': 1.0}[pred.kind]"),
        ("text -> label, years: list[int] | None", "predict", "max(pred.years) > 1"),
        ("text -> label, known: str", "predict", "float(pred.known.split()[0])"),
        ("text -> label", "chain_of_thought", "len(pred.reasoning) / len(pred.reasoning.split())"),
        ("text -> label", "predict", "len(pred.completions.label) == 1"),
        ("text -> stars: int", "predict", "1 / (1 + abs(pred.stars - int(ex.stars)))"),
    ],
)
def test_a_metric_that_reads_an_output_without_a_label_is_no_mistake(
    folder: Path, signature: str, module: str, body: str
) -> None:
    (folder / "data.jsonl").write_text("".join(json.dumps(row | {"stars": "3"}) + "\n" for row in ROWS))
    with_metric(folder, body, signature, module)
    make_plan(load_request(folder / "config.yaml"))


@pytest.mark.parametrize(
    ("signature", "body"),
    [
        ("text -> label", "pred.lable == ex.label"),
        ("text -> label", "pred.text == ex.text"),
        ("text -> label", "pred['label'] - 1"),
        ("text -> label, confidence: float", "ex.lable == pred.label"),
        (None, "ex.lable == pred.context"),
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


@pytest.mark.parametrize("name", ["program", "factory"])
def test_two_plans_of_one_instance_share_no_lm_and_leave_the_instance_as_it_was(folder: Path, name: str) -> None:
    own = "\n\nprogram = Rag()\nprogram.answer.lm = dspy.LM('openai/gpt-4o-mini')\n"
    own += "\n\ndef factory():\n    return program\n"
    (folder / "rag.py").write_text(RAG + own)
    edited(folder, SIGNATURE, f"import: 'rag:{name}'")
    first, second = (make_plan(load_request(folder / "config.yaml")) for _ in range(2))
    kept = import_object("rag:program", folder, "").answer.lm
    assert type(kept) is dspy.LM
    lms = [plan.program.predictors()[0].lm for plan in (first, second)]
    assert lms[0] is not lms[1] and not any(lm is kept for lm in lms)
    assert {label_of(lm).role for lm in lms} == {"task"} and not is_labelled(kept)


def a_program(folder: Path, word: str) -> Path:
    """A folder with a `program.py` that takes its word from a helper, and a package without an `__init__.py`."""
    (folder / "parts").mkdir(parents=True)
    (folder / "words.py").write_text(f"WORD = {word!r}\n")
    (folder / "parts" / "more.py").write_text(f"WORD = {word!r}\n")
    (folder / "program.py").write_text(
        "import dspy\nfrom words import WORD\nfrom parts.more import WORD as MORE\n\n\n"
        "class Program(dspy.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.answer = dspy.Predict(dspy.Signature('text -> label', WORD + MORE))\n\n"
        "    def word(self):\n        return WORD\n"
    )
    return folder


def instructions(folder: Path) -> str:
    """What the program of a folder says."""
    program = build_program(Program.model_validate({"import": "program:Program"}), folder)
    return str(program.predictors()[0].signature.instructions)


def test_each_folder_gives_its_own_program_and_its_own_helpers(tmp_path: Path) -> None:
    one, two = a_program(tmp_path / "one", "one"), a_program(tmp_path / "one" / "two", "two")
    assert [instructions(folder) for folder in (one, two, one, two)] == ["oneone", "twotwo", "oneone", "twotwo"]
    assert sys.path[0] == str(two)
    assert str(one) not in sys.path
    kept = sys.modules["program"]
    assert instructions(two) == "twotwo"
    assert sys.modules["program"] is kept
    (two / "words.py").unlink()
    (two / "program.py").write_text((two / "program.py").read_text() + "\n")
    assert instructions(one) == "oneone"
    with pytest.raises(ConfigError, match="No module named 'words'"):
        instructions(two)


def test_programs_of_two_folders_are_copied_and_pickled_whichever_came_last(tmp_path: Path) -> None:
    spec = Program.model_validate({"import": "program:Program"})
    programs = {}
    for word in ("one", "two"):
        programs[word] = build_program(spec, a_program(tmp_path / word, word))
        kind = type(programs[word])
        assert pickle.loads(pickle.dumps(kind)) is kind
    for word, program in programs.items():
        assert program.deepcopy().word() == copy.deepcopy(program).word() == word
        assert cloudpickle.loads(cloudpickle.dumps(program)).word() == word


def test_a_module_of_the_caller_s_makes_way_and_an_installed_one_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    callers = a_program(tmp_path / "callers", "callers")
    monkeypatch.syspath_prepend(str(callers))
    monkeypatch.chdir(callers)
    import program  # type: ignore[import-not-found]

    own = a_program(tmp_path / "own", "own")
    assert instructions(own) == "ownown"
    assert program.Program().word() == "callers"
    assert instructions(callers) == "callerscallers"
    (own / "json.py").write_text("def load():\n    pass\n")
    with pytest.raises(ConfigError, match=r"`json` is .*json here, not .*own/json.py; give that another name"):
        import_object("json:load", own, "program.import")
    assert json.dumps([1]) == "[1]"


def test_a_folder_of_scripts_is_no_package_where_another_one_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "src").mkdir()
    package = a_program(tmp_path / "src" / "program", "package")
    (package / "__init__.py").write_text("import dspy\n\n\ndef make():\n    return dspy.Predict('text -> label')\n")
    (tmp_path / "own" / "program").mkdir(parents=True)
    (tmp_path / "own" / "program" / "script.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path / "src"))
    made = [import_object("program:make", tmp_path / "own", "program.import") for _ in range(2)]
    assert made[0] is made[1]
