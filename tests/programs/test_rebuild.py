"""Programs that come from no request, kept in a real MLflow store (sqlite) and loaded again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Literal

import dspy
import mlflow
import pydantic
import pytest

from dspytrack.errors import NotFoundError, UsageError
from dspytrack.tracking import MLflowConfig, MLflowTracker

PROGRAMS = """
import dspy

def look_up(word: str) -> str:
    return word

def agent():
    return dspy.ReAct("question -> answer: int", tools=[look_up])

class Router(dspy.Module):
    def __init__(self, signature):
        super().__init__()
        self.route = dspy.Predict(signature)
"""


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> MLflowTracker:
    """A store of its own."""
    folder = tmp_path_factory.mktemp("store")
    return MLflowTracker(
        MLflowConfig(tracking_uri=f"sqlite:///{folder}/m.db", artifact_location=str(folder / "artifacts"))
    )


@pytest.fixture(scope="module")
def client(tracker: MLflowTracker) -> mlflow.MlflowClient:
    """Plain MLflow on the same store."""
    found = mlflow.MlflowClient(tracker.config.tracking_uri)
    found.create_experiment("dspy-optimization", artifact_location=tracker.config.artifact_location)
    return found


@pytest.fixture
def run_id(client: mlflow.MlflowClient) -> str:
    """A new run of any program that logs to MLflow."""
    experiment = client.get_experiment_by_name("dspy-optimization")
    return str(client.create_run(experiment.experiment_id).info.run_id)


def kept(tracker: MLflowTracker, run_id: str, program: dspy.Module, **options: Any) -> dspy.Module:
    """The program after a way through the store."""
    asyncio.run(tracker.log_model_artifact(program, run_id=run_id, **options))
    return asyncio.run(tracker.load_model_artifact(run_id, options.get("artifact_name", "optimized_model")))


def types_of(program: dspy.Module) -> dict[str, Any]:
    """Every field of the first predictor with its type."""
    return {name: info.annotation for name, info in program.predictors()[0].signature.fields.items()}


def test_two_models_of_one_run_are_both_there(tracker: MLflowTracker, run_id: str) -> None:
    first, second = dspy.Predict("text -> label", temperature=0.5), dspy.ChainOfThought("question -> answer: int")
    kept(tracker, run_id, first)
    assert types_of(kept(tracker, run_id, second, artifact_name="second")) == types_of(second)
    again = asyncio.run(tracker.load_model_artifact(run_id))
    assert types_of(again) == types_of(first)
    assert again.predictors()[0].config == {"temperature": 0.5}


def test_a_pulled_folder_holds_the_run_s_own_model_and_no_other(
    tracker: MLflowTracker, run_id: str, tmp_path: Path
) -> None:
    kept(tracker, run_id, dspy.Predict("text -> label"))
    kept(tracker, run_id, dspy.Predict("text -> label"), artifact_name="second")
    found = {file.name for file in tracker.pull(run_id, tmp_path / "model").folder.iterdir()}
    assert found == {"optimized_model.json", "optimized_model_metadata.json", "program.json", "README.md"}


@pytest.mark.parametrize("module", [dspy.Predict, dspy.ChainOfThought])
@pytest.mark.parametrize(
    "signature",
    [
        "text -> label: Literal['a', 'b'], n: int",
        "text: str, words: list[str] -> counts: dict[str, float]",
        "image: dspy.Image, size: Optional[int] -> ok: bool, why: str | None",
    ],
)
def test_types_come_back(tracker: MLflowTracker, run_id: str, module: Any, signature: str) -> None:
    program = module(signature, temperature=0.5)
    assert types_of(kept(tracker, run_id, program)) == types_of(program)


def test_a_class_of_a_signature_comes_back_with_its_types(tracker: MLflowTracker, run_id: str) -> None:
    class Route(dspy.Signature):
        """Route it."""

        text: str = dspy.InputField(desc="what came in")
        label: Literal["a", "b"] = dspy.OutputField(desc="where to")

    again = kept(tracker, run_id, dspy.Predict(Route)).predictors()[0].signature
    assert again.output_fields["label"].annotation == Literal["a", "b"]
    assert again.output_fields["label"].json_schema_extra["desc"] == "where to"
    assert again.instructions == "Route it."


def test_what_would_not_come_back_is_refused_with_what_to_give(
    tracker: MLflowTracker, client: mlflow.MlflowClient, run_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)  # whose functions are the user's own
    (tmp_path / "programs_of_a_test.py").write_text(PROGRAMS)
    import programs_of_a_test as programs  # type: ignore[import-not-found]

    class Mood(pydantic.BaseModel):
        name: str

    local: Any = dspy.Signature({"text": (str, dspy.InputField()), "mood": (Mood, dspy.OutputField())}, "Name it.")
    for program in (programs.agent(), programs.Router("text -> label"), dspy.Predict(local)):
        with pytest.raises(UsageError, match="give program_import='module:name'"):
            asyncio.run(tracker.log_model_artifact(program, run_id=run_id))
    with pytest.raises(UsageError, match="cannot be the name"):
        asyncio.run(tracker.log_model_artifact(dspy.Predict("a -> b"), "../out", run_id=run_id))
    assert client.list_artifacts(run_id) == []
    again = kept(tracker, run_id, programs.agent(), program_import="programs_of_a_test:agent")
    assert "look_up" in again.tools


def test_a_run_without_a_model_is_told_so(tracker: MLflowTracker, run_id: str, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="this run has no model"):
        tracker.pull(run_id, tmp_path / "model")
    with pytest.raises(NotFoundError, match="no model `another`"):
        asyncio.run(tracker.load_model_artifact(run_id, "another"))
    assert not (tmp_path / "model").exists()


def test_a_folder_that_cannot_be_made_is_the_caller_s_to_change(
    tracker: MLflowTracker, run_id: str, tmp_path: Path
) -> None:
    kept(tracker, run_id, dspy.Predict("text -> label"))
    (tmp_path / "file").write_text("in the way")
    for out in (tmp_path / "file", tmp_path / "file" / "model"):
        with pytest.raises(UsageError, match=f"^{out} cannot be written: Not a directory; choose another folder$"):
            tracker.pull(run_id, out)
