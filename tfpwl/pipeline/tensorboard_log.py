"""A build's figures as TensorBoard event files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tfpwl.errors import ConfigError, MissingDependencyError
from tfpwl.pipeline.reporter import Silent
from tfpwl.pipeline.tracking import Thinned, report_figures
from tfpwl.report import BuildReport


class TensorBoardLog(Silent):
    """A :class:`tfpwl.pipeline.tracking.RunLog` that writes scalars.

    Args:
        folder: for the event files of this run.

    Raises:
        MissingDependencyError: tensorboard is not installed.
        ConfigError: the folder cannot be written.

    Example:
        >>> with TensorBoardLog(Path("logs/digits")) as log:                       # doctest: +SKIP
        ...     log.advanced("train", 1, 100, {"loss": 0.5})
    """

    def __init__(self, folder: Path) -> None:
        try:
            from tensorboard.summary import Writer  # noqa: PLC0415
        except ImportError as exc:
            raise MissingDependencyError(
                "--log tensorboard needs the package tensorboard: pip install 'tfpwl[tensorboard]'"
            ) from exc
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._writer = Writer(str(folder))
        except OSError as exc:
            raise ConfigError(f"--log tensorboard cannot write {folder}: {exc}. Name another folder.") from exc
        self._thinned = Thinned()

    def __enter__(self) -> TensorBoardLog:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def advanced(self, stage: str, done: int, total: int, metrics: Mapping[str, float]) -> None:
        if metrics and self._thinned(stage, done, total):
            for name, value in metrics.items():
                self._writer.add_scalar(f"{stage}/{name}", value, done)

    def finished(self, stage: str, seconds: float, summary: str, *, cached: bool) -> None:
        self._writer.flush()

    def reported(self, report: BuildReport, folder: Path) -> None:
        for name, step, value in report_figures(report):
            self._writer.add_scalar(name, value, step)
