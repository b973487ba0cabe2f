"""Progress on the terminal: bars where somebody watches; of a build, one line per stage in a log."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TaskID, TextColumn, TimeRemainingColumn

from tfpwl.report import units

_SHOWN = ("loss", "accuracy")
_LOG_EVERY_S = 60.0


def stderr_console() -> Console:
    """A console for people; stdout is for results. CI logs get no bars and no escape codes."""
    return Console(stderr=True, highlight=False, force_terminal=False if os.environ.get("CI") else None)


def bars(*columns: ProgressColumn, refresh_per_second: float = 10) -> Progress:
    """Bars on stderr while somebody watches, gone afterwards; for a ``with`` statement."""
    console = stderr_console()
    # Redirected, what others print on stdout would end up on stderr.
    return Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal, redirect_stdout=False,
        redirect_stderr=False, refresh_per_second=refresh_per_second,
    )  # fmt: skip


class BuildProgress:
    """A :class:`tfpwl.pipeline.Reporter` for the terminal; a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description:<9}"), BarColumn(bar_width=None), TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(), TextColumn("{task.fields[note]}"), console=console, transient=True,
            disable=not console.is_terminal,
        )  # fmt: skip
        self._tasks: dict[str, TaskID] = {}
        self._logged = time.monotonic()

    def __enter__(self) -> BuildProgress:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def started(self, stage: str) -> None:
        self._tasks[stage] = self._progress.add_task(stage, total=None, note="")
        self._logged = time.monotonic()

    def waiting(self, stage: str, holder: str) -> None:
        self._console.print(f"{stage}: {holder} is making this already; waiting for it", soft_wrap=True)

    def advanced(self, stage: str, done: int, total: int, metrics: Mapping[str, float]) -> None:
        note = "  ".join(f"{name} {metrics[name]:.3f}" for name in _SHOWN if name in metrics)
        if stage not in self._tasks:
            self.started(stage)
        self._progress.update(self._tasks[stage], completed=done, total=total, note=note)
        if self._progress.disable and time.monotonic() - self._logged > _LOG_EVERY_S:
            self._logged = time.monotonic()
            self._console.print(f"{stage}: {100 * done / total:.0f} %  {note}")

    def finished(self, stage: str, seconds: float, summary: str, *, cached: bool) -> None:
        if stage in self._tasks:
            self._progress.remove_task(self._tasks.pop(stage))
        taken = "already there" if cached else units.seconds(seconds)
        self._console.print(f"{stage:<9} {taken:>13}   {summary}", soft_wrap=True)
