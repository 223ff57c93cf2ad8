"""MLflowTracker: the door through which runs and models are read back from MLflow."""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dspytrack.errors import NotFoundError, UsageError, did_you_mean
from dspytrack.results.catalogue import METRIC_NAMES
from dspytrack.tracking.client import connected, reading
from dspytrack.tracking.config import MLflowConfig
from dspytrack.tracking.ranking import better_direction, check_metrics, no_metric, qualifies

if TYPE_CHECKING:
    import dspy
    from mlflow import MlflowClient
    from mlflow.entities import Run

_FILE_NAME = re.compile(r"[\w-][\w.-]*")


class Pulled(NamedTuple):
    """A program that was downloaded: of which run, into which folder."""

    run_id: str
    folder: Path


class MLflowTracker:
    """Reads runs and models of one experiment."""

    def __init__(self, config: MLflowConfig | None = None) -> None:
        self.config = config or MLflowConfig.load()

    def check_experiment(self) -> None:
        """See that the experiment is there.

        Raises:
            UsageError: where it is not, with the nearest name.
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
        """Runs of the experiment, newest first unless ordered; none where the experiment is not there yet.

        Raises:
            UsageError: where MLflow refuses the filter, or no run has a metric that it or the order names.
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
            metric: what the best is the best by.
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
        """Where runs are looked for, in words."""
        return f"the experiment {self.config.experiment_name} at {self.config.shown}"

    def get(self, run_id: str, significant: bool = False) -> Run:
        """One run by its id, or `best`.

        Args:
            run_id: of the run.
            significant: of `best`: only of runs found better.

        Raises:
            NotFoundError: where no run qualifies as the best.
            UsageError: where there is no such run, or `significant` is asked of another one than `best`.
        """
        if run_id == "best":
            return self.best(significant=significant)
        if significant:
            raise UsageError("--significant goes with `best`: it says of which runs the best is taken")
        with reading(self.config) as client:
            return client.get_run(run_id)

    def pull(self, ref: str, out: Path, significant: bool = False) -> Pulled:
        """Download a run's model into a folder, verified and without its pickle.

        Args:
            ref: a run id, or `best`.
            out: the folder.
            significant: of `best`: only of runs found better.

        Raises:
            NotFoundError: where the run has no model.
            UsageError: where the folder is not empty or cannot be written, or a file is not what was packed.
        """
        from dspytrack.programs.package import NAME, how_to_load, spec_file, verify

        with _written_to(out):
            if out.exists() and any(out.iterdir()):
                raise UsageError(f"{out} is not empty; choose another folder")
        run_id = self.get(ref, significant).info.run_id
        with reading(self.config) as client, tempfile.TemporaryDirectory() as folder:
            got = _downloaded(client, run_id, NAME, folder)
            verify(got)
            names = (f"{NAME}.json", f"{NAME}_metadata.json", spec_file(NAME))
            files = {name: (got / name).read_bytes() for name in names}
        with _written_to(out):
            out.mkdir(parents=True, exist_ok=True)
            for name, data in files.items():
                (out / name).write_bytes(data)
            verify(out)
            (out / "README.md").write_text(how_to_load(out, run_id), encoding="utf-8")
        return Pulled(run_id, out)

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
        """Pack a program with its metadata and checksums into a run's `models/` folder, once it is seen to load again.

        Args:
            model: the program.
            artifact_name: of its files; another one beside it in the same run needs another name.
            metadata: facts to keep beside it.
            run_id: the MLflow run; the active one by default.
            program_import: `module:name` of a class, factory or instance that builds the program, where its signature
                or class alone does not (`dspy.ReAct` with its tools, for example).

        Raises:
            UsageError: where there is no run, or the program would not come back as it is.
        """
        from dspytrack.programs.rebuild import spec_for

        spec, run = spec_for(model, program_import), run_id or _active_run()
        await asyncio.to_thread(self._log_model, model, artifact_name, metadata or {}, run, spec)

    def _log_model(
        self, program: dspy.Module, name: str, metadata: Mapping[str, Any], run_id: str, spec: Mapping[str, Any]
    ) -> None:
        from dspytrack.programs.package import pack
        from dspytrack.programs.rebuild import check_loads

        if not _FILE_NAME.fullmatch(name) or name == "program":
            raise UsageError(f"artifact_name: `{name}` cannot be the name of a model's files")
        with tempfile.TemporaryDirectory() as folder:
            pack(program, Path(folder), name, metadata, spec)
            check_loads(program, Path(folder), name)
            with connected(self.config) as client:
                client.log_artifacts(run_id, folder, "models")

    async def load_model_artifact(self, run_id: str, artifact_name: str = "optimized_model") -> dspy.Module:
        """The program of a run, from its JSON state.

        Raises:
            NotFoundError: where the run has no model of that name.
            UsageError: where a file is not what was packed.
        """
        return await asyncio.to_thread(self._load, run_id, artifact_name)

    def _load(self, run_id: str, name: str) -> dspy.Module:
        from dspytrack.programs.package import load

        with tempfile.TemporaryDirectory() as folder:
            with reading(self.config) as client:
                got = _downloaded(client, run_id, name, folder)
            return load(got, name=name)


def _downloaded(client: MlflowClient, run_id: str, name: str, folder: str) -> Path:
    """A run's models, in a folder of this machine."""
    if f"models/{name}_metadata.json" not in {item.path for item in client.list_artifacts(run_id, "models")}:
        status = client.get_run(run_id).data.tags.get("status", "")
        raise NotFoundError(f"this run has no model `{name}`: {run_id}{f' ({status})' if status else ''}")
    return Path(client.download_artifacts(run_id, "models", folder))


@contextmanager
def _written_to(folder: Path) -> Iterator[None]:
    """What the machine has against a folder, as the mistake of whoever named it."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror}; choose another folder") from error


def _active_run() -> str:
    import mlflow

    active = mlflow.active_run()
    if active is None:
        raise UsageError("no MLflow run is active; give run_id, or start one with mlflow.start_run()")
    return str(active.info.run_id)
