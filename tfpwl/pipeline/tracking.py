"""Logs of a build for other tools to draw: TensorBoard, MLflow. They hear what every reporter hears, and the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

from tfpwl.config import PipelineConfig
from tfpwl.errors import ConfigError
from tfpwl.pipeline.reporter import Reporter
from tfpwl.report import BuildReport

KINDS = ("tensorboard:DIR", "mlflow:URI")


class RunLog(Reporter, Protocol):
    """A reporter that also takes the report; a context manager, which ends the log."""

    def reported(self, report: BuildReport, folder: Path) -> None:
        """Log the figures of a finished build, whose files are in ``folder``."""

    def __enter__(self) -> RunLog: ...

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None: ...


@contextmanager
def open_logs(wanted: Sequence[str], config: PipelineConfig) -> Iterator[tuple[RunLog, ...]]:
    """Open the logs that ``--log`` names; they end with the block, as failed when it raises.

    Args:
        wanted: texts such as ``tensorboard:logs`` or ``mlflow:sqlite:///mlflow.db``.
        config: names the run, and is logged with it where the tool has a place for it.

    Raises:
        ConfigError: there is no such log, or it cannot be opened.
        MissingDependencyError: its package is not installed.

    Example:
        >>> with open_logs(["tensorboard:logs"], config) as logs:                  # doctest: +SKIP
        ...     result = build(config, reporter=Together(logs))
    """
    with ExitStack() as stack:
        yield tuple(stack.enter_context(_open(text, config)) for text in wanted)


def _open(text: str, config: PipelineConfig) -> RunLog:
    kind, _, target = text.partition(":")
    if kind == "tensorboard" and target:
        from tfpwl.pipeline.tensorboard_log import TensorBoardLog  # noqa: PLC0415

        return TensorBoardLog(Path(target) / config.name)
    if kind == "mlflow" and target:
        from tfpwl.pipeline.mlflow_log import MlflowLog  # noqa: PLC0415

        return MlflowLog(target, config)
    raise ConfigError(f"Received --log {text}; expected {' or '.join(KINDS)}.")


class Together:
    """Several reporters as one."""

    def __init__(self, reporters: Sequence[Reporter]) -> None:
        self._reporters = tuple(reporters)

    def started(self, stage: str) -> None:
        for reporter in self._reporters:
            reporter.started(stage)

    def waiting(self, stage: str, holder: str) -> None:
        for reporter in self._reporters:
            reporter.waiting(stage, holder)

    def advanced(self, stage: str, done: int, total: int, metrics: Mapping[str, float]) -> None:
        for reporter in self._reporters:
            reporter.advanced(stage, done, total, metrics)

    def finished(self, stage: str, seconds: float, summary: str, *, cached: bool) -> None:
        for reporter in self._reporters:
            reporter.finished(stage, seconds, summary, cached=cached)


class Thinned:
    """Lets one step per per cent of a stage through: a chart has no more pixels, and a server more to do."""

    def __init__(self) -> None:
        self._shown: dict[str, int] = {}

    def __call__(self, stage: str, done: int, total: int) -> bool:
        percent = 100 * done // max(1, total)
        if percent == self._shown.get(stage):
            return False
        self._shown[stage] = percent
        return True


def report_figures(report: BuildReport) -> Iterator[tuple[str, int, float]]:
    """(name, step, value) of what a report has; along the path the step is how many groups the teacher runs."""
    prefix = "" if report.tier is None else f"{report.tier}/"
    for step, record in enumerate(report.path):
        figures = {"accuracy": record.accuracy, "bytes": record.bytes, "latency_ms": record.latency_ms}
        for name, value in figures.items():
            if value is not None:
                yield f"{prefix}path/{name}", step, float(value)
    for gate in report.gates:
        yield f"{prefix}gates/{gate.name}", 0, float(gate.passed)
    if report.bundle_bytes is not None:
        yield f"{prefix}bundle_bytes", 0, float(report.bundle_bytes)
