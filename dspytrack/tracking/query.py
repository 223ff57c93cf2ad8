"""MLflowTracker: finds runs in MLflow and fetches their models, for commands and for users of the Python API.

Model files are handled by `model_files.py`; which of the two ids names a run is settled by `run_ids.py`.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dspytrack.errors import NotFoundError, UsageError, did_you_mean
from dspytrack.record.store import RUNS_DIR
from dspytrack.results.catalogue import METRIC_NAMES
from dspytrack.tracking import model_files
from dspytrack.tracking.client import connected, reading
from dspytrack.tracking.config import MLflowConfig
from dspytrack.tracking.model_files import PulledModel
from dspytrack.tracking.ranking import better_direction, check_metrics, no_metric, qualifies
from dspytrack.tracking.run_ids import mlflow_run_id

if TYPE_CHECKING:
    import dspy
    from mlflow import MlflowClient
    from mlflow.entities import Run


class MLflowTracker:
    """Reads runs and models of one experiment. Where a run is named, MLflow's id and the record's will both do."""

    def __init__(self, config: MLflowConfig | None = None, *, runs_dir: Path = RUNS_DIR) -> None:
        """A tracker of one store.

        Args:
            config: the store and experiment; read from `.env.mlflow` and the environment by default.
            runs_dir: where records are kept; a record's id is looked up there before the store is asked.
        """
        self.config, self.runs_dir = config or MLflowConfig.load(), runs_dir

    def _id_of(self, client: MlflowClient, run_id: str) -> str:
        return mlflow_run_id(client, self.config, run_id, self.runs_dir)

    def check_experiment(self) -> None:
        """Check that the experiment exists.

        Raises:
            UsageError: where it does not, with the nearest name.
            UnreachableError: where the store does not answer.
        """
        name = self.config.experiment_name
        with connected(self.config) as client:
            found = client.get_experiment_by_name(name)
            if found is not None and found.lifecycle_stage != "deleted":
                return
            known = sorted(one.name for one in client.search_experiments(max_results=1000))
        near = did_you_mean(name, known) or f" Known are {', '.join(known[:8])}{' …' if len(known) > 8 else ''}."
        raise UsageError(f"{self.config.shown} has no experiment `{name}`.{near}")

    def search(self, filter_string: str = "", max_results: int = 100, order_by: list[str] | None = None) -> list[Run]:
        """Runs of the experiment, newest first unless ordered; none where the experiment does not exist yet.

        Raises:
            UsageError: where MLflow rejects the filter, or no run has a metric that it or the order names.
            UnreachableError: where the store does not answer.
        """
        with reading(self.config) as client:
            experiment = client.get_experiment_by_name(self.config.experiment_name)
            if experiment is None:
                return []
            check_metrics(client, experiment.experiment_id, " ".join([filter_string, *(order_by or [])]))
            found: list[Run] = []
            token = None
            while len(found) < max_results:
                size = min(max_results - len(found), 1000)
                ids = [experiment.experiment_id]
                page = client.search_runs(ids, filter_string, max_results=size, order_by=order_by, page_token=token)
                found.extend(page)
                token = page.token
                if not token:
                    break
            return found

    def best(
        self,
        metric: str = "improvement_percentage",
        order: str | None = None,
        filter_string: str = "",
        significant: bool = False,
    ) -> Run:
        """The best finished run by a metric; runs that are unfinished, failed, deleted or NaN never win.

        Args:
            metric: by which runs are ranked.
            order: "ASC" or "DESC"; the metric's own better direction by default.
            filter_string: in MLflow's syntax.
            significant: only runs whose verdict is "better" and whose p-value is below 0.05.

        Raises:
            UsageError: for a metric that no run has, with the nearest name.
            NotFoundError: where no run qualifies.
        """
        runs = self.search(filter_string, 1_000_000)
        known = {name for run in runs for name in run.data.metrics}
        if known and metric not in known and metric not in METRIC_NAMES:
            raise no_metric(metric, known)
        fit = [run for run in runs if qualifies(run, metric, significant)]
        if not fit:
            what = f"no finished run has {metric}{' and is significantly better' if significant else ''}"
            raise NotFoundError(f"{what}, in {self.place}")
        up = (order or better_direction(metric)).upper() == "DESC"
        return (max if up else min)(fit, key=lambda run: run.data.metrics[metric])

    @property
    def place(self) -> str:
        """The experiment and store, in words."""
        return f"the experiment {self.config.experiment_name} at {self.config.shown}"

    def get(self, run_id: str, significant: bool = False) -> Run:
        """One run by MLflow's id or the record's, or `best`.

        Args:
            run_id: of the run.
            significant: with `best`: only runs found better.

        Raises:
            NotFoundError: where no run qualifies as the best.
            UsageError: where there is no such run, or `significant` is given without `best`.
        """
        if run_id == "best":
            return self.best(significant=significant)
        if significant:
            raise UsageError("--significant goes with `best`: it says of which runs the best is taken")
        with reading(self.config) as client:
            return client.get_run(self._id_of(client, run_id))

    def pull(self, ref: str, out: Path, significant: bool = False) -> PulledModel:
        """Download a run's model into a folder, verified and without its pickle.

        Args:
            ref: a run id or a record id, or `best`.
            out: the folder.
            significant: with `best`: only runs found better.

        Raises:
            NotFoundError: where the run has no model.
            UsageError: where the folder is not empty or cannot be written, or a file is not what was packed.
        """
        model_files.check_empty(out)
        run_id = self.get(ref, significant).info.run_id
        with reading(self.config) as client:
            return model_files.pull(client, run_id, out)

    async def search_runs(
        self, filter_string: str = "", max_results: int = 100, order_by: list[str] | None = None
    ) -> list[Run]:
        """As `search`, awaited."""
        return await asyncio.to_thread(self.search, filter_string, max_results, order_by)

    async def get_best_run(self, metric: str = "improvement_percentage", order_by: str | None = None) -> Run:
        """As `best`, awaited; `order_by` is "ASC" or "DESC"."""
        return await asyncio.to_thread(self.best, metric, order_by)

    async def log_model_artifact(
        self,
        model: dspy.Module,
        artifact_name: str = "optimized_model",
        metadata: Mapping[str, Any] | None = None,
        run_id: str | None = None,
        program_import: str | None = None,
    ) -> None:
        """Pack a program with its metadata and checksums into a run's `models/` folder, once it loads again as it is.

        Args:
            model: the program.
            artifact_name: of its files; another one beside it in the same run needs another name.
            metadata: facts to keep beside it.
            run_id: MLflow's id or the record's; the active MLflow run by default.
            program_import: `module:name` of a class, factory or instance that builds the program, where its signature
                or class alone does not (`dspy.ReAct` with its tools, for example).

        Raises:
            UsageError: where there is no run, or the program would not come back as it is.
        """
        from dspytrack.programs.rebuild import spec_for

        spec, run = spec_for(model, program_import), run_id or _active_run()
        await asyncio.to_thread(self._send_model, model, artifact_name, metadata or {}, run, spec)

    def _send_model(
        self, program: dspy.Module, name: str, metadata: Mapping[str, Any], run_id: str, spec: Mapping[str, Any]
    ) -> None:
        with model_files.packed(program, name, metadata, spec) as folder, connected(self.config) as client:
            client.log_artifacts(self._id_of(client, run_id), str(folder), "models")

    async def load_model_artifact(self, run_id: str, artifact_name: str = "optimized_model") -> dspy.Module:
        """The program of a run, by MLflow's id or the record's, from its JSON state.

        Raises:
            NotFoundError: where the run has no model of that name.
            UsageError: where a file is not what was packed.
        """
        return await asyncio.to_thread(self._load, run_id, artifact_name)

    def _load(self, run_id: str, name: str) -> dspy.Module:
        from dspytrack.programs.package import load

        with tempfile.TemporaryDirectory() as folder:
            with reading(self.config) as client:
                got = model_files.download(client, self._id_of(client, run_id), name, Path(folder))
            return load(got, name=name)


def _active_run() -> str:
    import mlflow

    active = mlflow.active_run()
    if active is None:
        raise UsageError("no MLflow run is active; give run_id, or start one with mlflow.start_run()")
    return str(active.info.run_id)
