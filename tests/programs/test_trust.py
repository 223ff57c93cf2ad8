"""A pulled program is not trusted: what its files name is imported and called only where it is a program's."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dspy
import pytest

from dspytrack.errors import UsageError
from dspytrack.programs.imports import import_object
from dspytrack.programs.package import load, pack
from dspytrack.programs.predict import predict

OWN = """
import functools
import os
from os import system

import dspy

made = []


class Router(dspy.Module):
    def __init__(self, note="none"):
        super().__init__()
        self.route = dspy.Predict("text -> label")
        made.append(note)


def factory(note="none"):
    return Router(note)


def look(word: str) -> str:
    return word


half = functools.partial(os.system, "echo > called")
whole = functools.partial(factory)
instance = Router()
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the user's own code; the current one."""
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "own_programs.py").write_text(OWN)
    monkeypatch.chdir(folder)
    yield folder
    sys.modules.pop("own_programs", None)


def pulled(folder: Path, **spec: Any) -> Path:
    """A folder as it is pulled, its checksums right, its spec whatever a store says."""
    program = dspy.Predict("text -> label")
    if "import" in spec:
        program = import_object("own_programs:Router", Path.cwd(), "")()
    pack(program, folder, "optimized_model", {}, {"program": spec, "lm": None, "inputs": ["text"]})
    return folder


@pytest.mark.parametrize(
    "path",
    [
        "os:system",
        "posix:system",
        "subprocess:getoutput",
        "own_programs:system",
        "own_programs:half",
        "dspy:configure_cache",
        "dspy.utils:download",
        "antigravity:fly",
        "json.__main__:main",
    ],
)
def test_a_function_that_is_not_the_user_s_own_is_not_called(own: Path, tmp_path: Path, path: str) -> None:
    before = "antigravity" in sys.modules
    folder = pulled(tmp_path / "model", **{"import": path, "params": {"command": "echo > called"}})
    with pytest.raises(UsageError, match=f"`{path.partition(':')[0]}.*may call functions of modules under {own} only"):
        load(folder)
    with pytest.raises(UsageError, match="may call functions"):
        next(predict(folder, [{"text": "a"}]))
    assert not (own / "called").exists()
    assert ("antigravity" in sys.modules) is before


@pytest.mark.parametrize("name", ["Router", "factory", "whole", "instance"])
def test_classes_and_factories_of_the_user_s_own_are(own: Path, tmp_path: Path, name: str) -> None:
    folder = pulled(tmp_path / "model", **{"import": f"own_programs:{name}"})
    assert [one for one, _ in load(folder).named_predictors()] == ["route"]


def test_a_class_may_come_from_elsewhere_a_factory_from_the_folder_that_is_named(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_class = pulled(tmp_path / "model", **{"import": "own_programs:Router"})
    by_factory = pulled(tmp_path / "other", **{"import": "own_programs:factory"})
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.syspath_prepend(str(own))
    assert load(by_class).predictors()
    with pytest.raises(UsageError, match="nor a function of your own code"):
        load(by_factory)
    assert load(by_factory, base_dir=own).predictors()


def test_no_code_of_the_pulled_folder_runs(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evil = "import pathlib\npathlib.Path('called').write_text('')\nfrom own_programs import Router\n"
    inside = pulled(own / "deep" / "model", **{"import": "deep.model.evil:Router"})
    (inside / "evil.py").write_text(evil)
    with pytest.raises(UsageError, match="code of the pulled folder itself"):
        load(inside)
    typed = pulled(own / "typed", signature="text -> label: evil.Router")
    (typed / "evil.py").write_text(evil)
    monkeypatch.chdir(typed)
    monkeypatch.syspath_prepend(str(typed))
    with pytest.raises(UsageError, match="code of the pulled folder itself"):
        load(typed)
    assert not list(tmp_path.rglob("called"))


def test_tools_of_an_agent_are_functions_like_any_other(own: Path, tmp_path: Path) -> None:
    agent: dict[str, Any] = {"signature": "text -> label", "module": "react"}
    with pytest.raises(UsageError, match="`os` is no module of a program"):
        load(pulled(tmp_path / "model", **agent, tools=["os:system"]))
    program = dspy.ReAct("text -> label", tools=[import_object("own_programs:look", own, "")])
    spec = {"program": agent | {"tools": ["own_programs:look"]}, "lm": None, "inputs": ["text"]}
    pack(program, tmp_path / "agent", "optimized_model", {}, spec)
    assert "look" in load(tmp_path / "agent").tools
