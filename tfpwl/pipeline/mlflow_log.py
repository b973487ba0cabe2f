"""A build as a run of MLflow: configuration, figures, and the report's files."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tfpwl
from tfpwl.config import PipelineConfig
from tfpwl.errors import ConfigError, MissingDependencyError
from tfpwl.pipeline.reporter import Silent
from tfpwl.pipeline.tracking import Thinned, report_figures
from tfpwl.report import BuildReport

# What MLflow's API takes as a parameter's value, and how many parameters at once.
_MAX_LETTERS, _MAX_PARAMS = 500, 100
_ARTIFACTS = ("metrics.json", "junit.xml", "report.md", "report.html", "accuracy_path.png")


class MlflowLog(Silent):
    """A :class:`tfpwl.pipeline.tracking.RunLog`; the experiment is named after the pipeline, every build is a run.

    Args:
        uri: of the tracking store, such as ``sqlite:///mlflow.db`` or ``https://mlflow.example.org``.
        config: the pipeline.

    Raises:
        MissingDependencyError: mlflow is not installed.
        ConfigError: the store cannot be reached.

    Example:
        >>> with MlflowLog("sqlite:///mlflow.db", config) as log:                  # doctest: +SKIP
        ...     log.advanced("train", 1, 100, {"loss": 0.5})
    """

    def __init__(self, uri: str, config: PipelineConfig) -> None:
        try:
            from mlflow import MlflowClient  # noqa: PLC0415
            from mlflow.exceptions import MlflowException  # noqa: PLC0415
        except ImportError as exc:
            raise MissingDependencyError(
                "--log mlflow needs the package mlflow-skinny: pip install 'tfpwl[mlflow]'"
            ) from exc
        self._thinned = Thinned()
        try:
            self._client = MlflowClient(tracking_uri=uri)
            self._run = self._create_run(config)
        except MlflowException as exc:
            raise ConfigError(
                f"--log mlflow cannot use the store: {exc}. Give another URI, or mend the store."
            ) from exc

    def __enter__(self) -> MlflowLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        interrupted = kind is not None and not issubclass(kind, Exception)
        status = "FINISHED" if kind is None else "KILLED" if interrupted else "FAILED"
        with self._reaching():
            self._client.set_terminated(self._run, status=status)

    def advanced(self, stage: str, done: int, total: int, metrics: Mapping[str, float]) -> None:
        if metrics and self._thinned(stage, done, total):
            self._log_metrics([(f"{stage}/{name}", done, value) for name, value in metrics.items()])

    def finished(self, stage: str, seconds: float, summary: str, *, cached: bool) -> None:
        if not cached:
            self._log_metrics([(f"{stage}/seconds", 0, seconds)])

    def reported(self, report: BuildReport, folder: Path) -> None:
        self._log_metrics(list(report_figures(report)))
        with self._reaching():
            for name in _ARTIFACTS:
                self._client.log_artifact(self._run, str(folder / name), report.tier)

    def _create_run(self, config: PipelineConfig) -> str:
        from mlflow.entities import Param  # noqa: PLC0415

        found = self._client.get_experiment_by_name(config.name)
        experiment = self._client.create_experiment(config.name) if found is None else found.experiment_id
        run: str = self._client.create_run(experiment, tags={"tfpwl": tfpwl.__version__}).info.run_id
        params = [
            Param(key, str(value)[:_MAX_LETTERS])
            for key, value in _flat(config.model_dump(mode="json", exclude_none=True))
        ]
        for start in range(0, len(params), _MAX_PARAMS):
            self._client.log_batch(run, params=params[start : start + _MAX_PARAMS])
        return run

    def _log_metrics(self, figures: list[tuple[str, int, float]]) -> None:
        from mlflow.entities import Metric  # noqa: PLC0415

        now = int(1000 * time.time())
        with self._reaching():
            self._client.log_batch(self._run, metrics=[Metric(name, value, now, step) for name, step, value in figures])

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """A server that goes away takes the log with it, not hours of training."""
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        try:
            yield
        except MlflowException as exc:
            warnings.warn(f"MLflow has not taken a part of the log: {exc}", stacklevel=3)


def _flat(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in data.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
