"""What a person sees of a run: the table of mixes, the live view, a bar or lines where there is no terminal."""

from __future__ import annotations

import statistics
import time
from types import TracebackType
from typing import Protocol

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tfpwl.cli.rendering import mix_text
from tfpwl.cli.run_session import Answer, Schedule, Tally
from tfpwl.mix import TEACHER
from tfpwl.report import units
from tfpwl.runtime import ProgressiveModel

_REFRESH_S = 0.1
_BAR_AFTER_S = 1.0


class View(Protocol):
    """Shows a run while it goes on; a context manager."""

    def __enter__(self) -> View: ...

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def update(self, tally: Tally) -> None: ...


def tally_table(tally: Tally, *, live: bool = False) -> Table:
    """A row per mix: answers, accuracy (or the last answer, where there are no labels), milliseconds."""
    labelled = tally.data.y is not None
    table = Table(box=box.SIMPLE_HEAD)
    columns = ("mix", "since", "answers", "accuracy" if labelled else "last answer", "ms median", "ms max")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left")
    for entry in tally.mixes.values():
        what = units.percent(entry.accuracy) if labelled else _said(entry.last, tally)
        median = entry.recent_ms if live else statistics.median(entry.ms)
        table.add_row(
            mix_text(entry.mix), _since(entry.since_ms), f"{len(entry.ms):,}", what, f"{median:.3f}",
            f"{max(entry.ms):.3f}",
        )  # fmt: skip
    return table


def _since(ms: float) -> str:
    return units.milliseconds(ms) if ms < 1000 else units.seconds(ms / 1000)


def _said(answer: Answer, tally: Tally) -> str:
    label, probability = tally.classes.top(answer.output[0], 1)[0]
    return f"{label} {units.percent(probability)}"


class LiveView:
    """``--watch`` on a terminal. Drawn between answers and not by a thread, which would take time from them."""

    def __init__(self, console: Console, model: ProgressiveModel, schedule: Schedule) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False,
                          redirect_stderr=False)  # fmt: skip
        self._model = model
        self._schedule = schedule
        self._drawn = 0.0

    def __enter__(self) -> LiveView:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def update(self, tally: Tally) -> None:
        now = time.monotonic()
        if now - self._drawn >= _REFRESH_S:
            self._drawn = now
            self._live.update(self._render(tally), refresh=True)

    def _render(self, tally: Tally) -> RenderableType:
        model, manifest, last = self._model, self._model.bundle.manifest, tally.last
        mix, state = model.mix, model.state
        done = mix.count(TEACHER)
        head = Table.grid(padding=(0, 2))
        head.add_row(Text(manifest.name, style="bold"), mix_text(mix), state.value,
                     ProgressBar(total=manifest.num_groups, completed=done, width=20),
                     f"{done} of {manifest.num_groups} groups, {units.byte_size(model.resident_bytes)}")  # fmt: skip
        parts: list[RenderableType] = [head]
        if last is not None:
            parts.append(Text(f"answer {last.number + 1:,} of {self._schedule.num_answers:,}, "
                              f"{tally.mixes[last.mix].recent_ms:.3f} ms: {_describe(last, tally)}",
                              style="dim"))  # fmt: skip
        return Group(*parts, tally_table(tally, live=True))


def _describe(answer: Answer, tally: Tally) -> str:
    """The first image of an answer: what it is taken for, and what it is."""
    said = _said(answer, tally)
    if tally.data.y is None:
        return f"{tally.data.name(int(answer.images[0]))}: {said}"
    truth = int(tally.data.y[answer.images[0]])
    return f"{said} ✓" if int(answer.output[0].argmax()) == truth else f"{said} ✗ it is {tally.classes.names[truth]}"


class LineView:
    """A line for every new mix, for logs and pipes."""

    def __init__(self, console: Console, model: ProgressiveModel) -> None:
        self._console = console
        self._model = model
        self._mix: str | None = None

    def __enter__(self) -> LineView:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def update(self, tally: Tally) -> None:
        if tally.last is not None and tally.last.mix != self._mix:
            self._mix = tally.last.mix
            self._console.print(f"{self._mix}  from answer {tally.last.number + 1}, after {_since(tally.last.at_ms)}")


class BarView:
    """One line with the running accuracy; it shows only when the run takes longer than a second."""

    def __init__(self, console: Console, model: ProgressiveModel, schedule: Schedule) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False,
                          redirect_stderr=False)  # fmt: skip
        self._enabled = console.is_terminal
        self._model = model
        self._schedule = schedule
        self._drawn = time.monotonic() + _BAR_AFTER_S

    def __enter__(self) -> BarView:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def update(self, tally: Tally) -> None:
        now = time.monotonic()
        if not self._enabled or tally.last is None or now - self._drawn < _REFRESH_S:
            return
        self._drawn = now
        self._live.start()
        entry, line = tally.mixes[tally.last.mix], Table.grid(padding=(0, 2))
        accuracy = "" if entry.accuracy is None else f"{units.percent(entry.accuracy)} right"
        bar = ProgressBar(total=self._schedule.num_answers, completed=tally.last.number + 1, width=30)
        line.add_row("answering", mix_text(entry.mix), f"{entry.recent_ms:.3f} ms", accuracy, bar)
        self._live.update(line, refresh=True)
