"""The built-in metric that asks an LM: a prediction graded by a rubric."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dspytrack.metrics.score import MetricFunction, Score

if TYPE_CHECKING:
    import dspy


def llm_judge(rubric: str, judge: dspy.LM | None) -> MetricFunction:
    """A metric that asks an LM to grade a prediction by a rubric, from 0 to 1.

    Args:
        rubric: what is graded.
        judge: the LM that is asked; the one of the DSPy context by default.
    """
    import dspy

    signature: Any = dspy.Signature(
        "rubric: str, inputs: str, expected: str, answer: str -> score: float, feedback: str",
        "Grade the answer by the rubric. The score is between 0 (fails it) and 1 (meets it).",
    )
    grade = dspy.Predict(signature)

    def graded_by_lm(example: Any, prediction: Any) -> Score:
        graded = grade(
            rubric=rubric,
            inputs=str(example.inputs().toDict()),
            expected=str(example.labels().toDict()),
            answer=str(prediction.toDict()),
            **({"lm": judge} if judge is not None else {}),
        )
        score = float(graded.score)
        if not 0 <= score <= 1:
            raise ValueError(f"the judge gave {score:g}; expected a score from 0 to 1")
        return Score(score, str(graded.feedback))

    return graded_by_lm
