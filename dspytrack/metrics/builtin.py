"""The built-in metrics that compare an output with a label, and which labels they can compare with.

Owns the reading of texts and numbers; what a metric is to an optimizer is `metric.py`'s.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from typing import Any


def label_fault(metric: str, label: Any) -> str | None:
    """What keeps a built-in metric from comparing with a label, in words; None where nothing does."""
    if label is None:
        return "is null"
    if metric == "contains" and not str(label).strip():
        return "is empty: every answer would contain it"
    if metric == "numeric_match" and _number(label) is None:
        return f"is no number: {str(label)[:80]!r}"
    return None


def _number(label: Any) -> float | None:
    """A label as a number, None where it is none; thousands may be parted by commas."""
    try:
        number = float(str(label).replace(",", ""))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _words(value: Any) -> list[str]:
    text = str(value).casefold()
    return re.findall(r"\w+", text) or text.split()


_OUTER = " .!?,;:\"'`"
_LEADING = re.compile(rf"^(?:(?![.,]\d)[{re.escape(_OUTER)}])+")


def _plain(value: Any) -> str:
    """A text without case, outer punctuation of prose and extra white space: `C++`, `-5` and `.5` stay as they are."""
    text = " ".join(str(value).casefold().split())
    return _LEADING.sub("", text).rstrip(_OUTER) or text


def _exact(expected: Any, found: Any, _: float) -> float:
    return float(found is not None and bool(_plain(found)) and _plain(expected) == _plain(found))


def _contains(expected: Any, found: Any, _: float) -> float:
    if not str(expected).strip():
        raise ValueError("the label is empty: every answer would contain it")
    return float(found is not None and str(expected).casefold().strip() in str(found).casefold())


def _f1(expected: Any, found: Any, _: float) -> float:
    """Token F1 as in SQuAD (Rajpurkar et al. 2016), without article removal."""
    gold, words = Counter(_words(expected)), Counter(_words("" if found is None else found))
    common = sum((gold & words).values())
    if common == 0:
        return 0.0
    precision, recall = common / sum(words.values()), common / sum(gold.values())
    return 2 * precision * recall / (precision + recall)


_NUMBER = re.compile(r"(?:(?<!\w)[-+])?(?:\d[\d,]*\.?\d*|(?<![\d.])\.\d+)(?:[eE][-+]?\d+)?")
_ANSWER = re.compile(r"\banswer\W{0,3}(?:is\b|:)|=", re.IGNORECASE)


def _numeric(expected: Any, found: Any, tolerance: float) -> float:
    """Whether the answer's number is the label, to within the tolerance.

    Of several numbers the answer's is the first after the last `answer is`, `answer:` or `=`: 42 in `The answer is 42
    (from step 3)`. Where none of these stands before a number it is the last: 12 in `first 3, then 12`. A hyphen after
    a digit or a letter is no minus: `3-5` holds 3 and 5.
    """
    text = str(found)
    marked = _NUMBER.findall(_ANSWER.split(text)[-1]) if _ANSWER.search(text) else []
    numbers = marked[:1] or _NUMBER.findall(text)[-1:]
    label = _number(expected)
    if label is None:
        raise ValueError(f"the label is no number: {expected!r}")
    return float(any(abs(float(number.replace(",", "")) - label) <= tolerance for number in numbers))


BUILT_IN: dict[str, Callable[[Any, Any, float], float]] = {
    "exact_match": _exact,
    "contains": _contains,
    "f1": _f1,
    "numeric_match": _numeric,
}
"""By name: (expected, found, tolerance) -> a score from 0 to 1."""
