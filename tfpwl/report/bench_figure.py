"""The picture of a start: how accurate and how slow the answers are over the first moments after opening."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tfpwl.bench import results
from tfpwl.bench.results import BenchResult, UpgradeResult
from tfpwl.report.canvas import blank_figure, save_figure

_BLUE, _GREEN, _ORANGE, _INK = "#2563eb", "#15803d", "#d97706", "#1f2937"


def plot_first_moments(path: Path, result: BenchResult) -> None:
    """Write a PNG: accuracy of the mix that answers above, milliseconds of each answer below, against time.

    The example is the first upgrade of the run, cold where cold ones were measured. Where the manifest has no
    accuracies, the number of teacher groups takes their place.

    Args:
        path: of the PNG file to write.
        result: with at least one upgrade.

    Raises:
        MissingDependencyError: matplotlib is not installed.
        ValueError: the result has no upgrade.
    """
    if not result.upgrades:
        raise ValueError("The result has no upgrade to draw; run the benchmark with upgrades.")
    figure = blank_figure(7.2, 5.2)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    upgrade = result.upgrades[-1]
    _draw_quality(above, result, upgrade)
    _draw_answers(below, upgrade)
    how = "cold" if upgrade.cold else "warm"
    above.set_title(f"{result.name}: the first moments, {how}", loc="left", fontsize=11, color=_INK, fontweight="bold")
    below.set_xlabel("time since opening (ms)", color=_INK)
    for axes in (above, below):
        axes.grid(axis="y", color="#e5e7eb", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8.5, labelcolor=_INK)
    save_figure(figure, path)


def _draw_quality(axes: Any, result: BenchResult, upgrade: UpgradeResult) -> None:
    accuracy = {mix: value for mix, value in result.path if value is not None}
    known = len(accuracy) == len(result.path)
    value = {mix: 100 * accuracy[mix] if known else mix.count("T") for mix, _ in result.path}
    # The first answer of a mix ends when its asking began plus what it took.
    times = [0.0, *(answer.asked_ms + answer.taken_ms for answer in upgrade.example)]
    heights = [0.0, *(value[answer.mix] for answer in upgrade.example)]
    axes.step(times, heights, where="post", color=_BLUE, linewidth=2.2, label="bundle")
    rivals = ((results.TEACHER, _ORANGE, "-"), (results.TEACHER_CACHED, _GREEN, "--"))
    for name, color, style in rivals:
        start = result.start(name, cold=upgrade.cold)
        if start is not None:
            top, end = value[result.path[-1][0]], max(times[-1], start.median_ms)
            axes.step([0.0, start.median_ms, end], [0.0, top, top], where="post", color=color, linestyle=style,
                      linewidth=1.6, label=name)  # fmt: skip
    axes.set_ylabel("accuracy of the answers (%)" if known else "teacher groups that answer", color=_INK)
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)


def _draw_answers(axes: Any, upgrade: UpgradeResult) -> None:
    times = [answer.asked_ms for answer in upgrade.example[1:]]
    axes.scatter(times, [answer.taken_ms for answer in upgrade.example[1:]], s=8, color=_BLUE, linewidths=0)
    axes.set_ylabel("one answer (ms)", color=_INK)
    axes.set_ylim(bottom=0)
