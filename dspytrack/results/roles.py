"""The roles in which a run calls an LM, each once: its name in metrics, its key in the config file, its meaning."""

from __future__ import annotations

from typing import NamedTuple


class Role(NamedTuple):
    """A role of an LM.

    `key` is the config key of its LM, empty where the config has none; `by_program` says that it is the program
    being optimized that makes the calls.
    """

    name: str
    key: str
    meaning: str
    by_program: bool = False


TASK = Role("task", "lm", "the LM that the program runs on", by_program=True)
TEACHER = Role("teacher", "teacher_lm", "the LM that an optimizer bootstraps demos with")
PROMPT = Role("prompt", "prompt_lm", "the LM that an optimizer lets propose instructions")
REFLECTION = Role("reflection", "reflection_lm", "the LM that an optimizer lets reflect on failures")
JUDGE = Role("judge", "metric.lm", "the LM that scores outputs for the metric llm_judge")
OWN = Role("own", "", "LMs that the run did not build, such as one a program opens itself", by_program=True)

ROLES = (TASK, TEACHER, PROMPT, REFLECTION, JUDGE, OWN)
OPTIMIZER_ROLES = (TEACHER, PROMPT, REFLECTION)
"""The roles whose LM is that of the task unless the config names another."""
LM_KEYS = tuple(role.key for role in ROLES if role.key)
"""The config keys that hold an LM."""
