"""Which runs may be the best by a metric, which direction of it is better, and which names are metrics."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dspytrack.errors import UsageError, did_you_mean
from dspytrack.results.catalogue import METRIC_NAMES, METRICS

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_WORDS_DOWN = {
    *("loss", "cost", "price", "latency", "duration", "seconds", "ms", "tokens", "calls", "retries", "pvalue"),
    *("error", "errors", "err", "failure", "failures", "failed", "violations", "hallucination", "hallucinations"),
    *("mae", "mse", "rmse", "mape", "perplexity", "wer", "cer", "regret", "toxicity"),
}
_WORDS_UP = {"improvement", "reduction", "saved", "savings", "gain"}
_NAMED = re.compile(r"""\bmetrics?\.(?:[`"]([^`"]+)[`"]|([\w/-]+))""")
_LEAST = "-1e308"  # every number but NaN is above it
DONE = ("completed", "budget_reached")


def better_direction(metric: str) -> str:
    """ "ASC" where less of a metric is better, else "DESC".

    For our own metrics the catalogue says so; for a user's own, words in its name such as loss, error or latency do.
    """
    known = METRICS.get(metric)
    if known is not None and known.better is not None:
        return "DESC" if known.better == "higher" else "ASC"
    words = set(re.split(r"[^a-z]+", re.sub(r"([a-z])([A-Z])", r"\1_\2", metric).lower()))
    return "ASC" if words & _WORDS_DOWN and not words & _WORDS_UP else "DESC"


def no_metric(name: str, known: Iterable[str]) -> UsageError:
    """The error for a metric that no run has, with the nearest name or the usual ones."""
    near = did_you_mean(name, known) or f" Known are {', '.join(METRIC_NAMES[-8:])} and more (`runs show RUN`)."
    return UsageError(f"no run has a metric `{name}`.{near}")


def check_metrics(client: MlflowClient, experiment_id: str, text: str) -> None:
    """Check that some run has each metric that a filter or an order names: MLflow itself would say nothing.

    Raises:
        UsageError: for a metric that no run has, with the nearest name.
    """
    for name in dict.fromkeys(quoted or plain for quoted, plain in _NAMED.findall(text)):
        if name in METRIC_NAMES:  # runs that failed may not have it yet
            continue
        if client.search_runs([experiment_id], f"metrics.`{name}` >= {_LEAST}", max_results=1):
            continue
        runs = client.search_runs([experiment_id], max_results=1000)
        known = {known for run in runs for known in run.data.metrics}
        if known and name not in known:
            raise no_metric(name, known)


def qualifies(run: Run, metric: str, significant: bool) -> bool:
    """Whether a run may be the best: finished, the metric known; with `significant`, found better with p < 0.05."""
    value: Any = run.data.metrics.get(metric)
    if value is None or not math.isfinite(value) or run.info.status != "FINISHED":
        return False
    if run.data.tags.get("status", DONE[0]) not in DONE:
        return False
    p_value = float(run.data.metrics.get("statistical_significance", 1))
    return not significant or (run.data.tags.get("verdict") == "better" and p_value < 0.05)
