"""Accuracy against bytes loaded, as a picture."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from tfpwl.report import units
from tfpwl.report.build_report import BuildReport, MixRecord
from tfpwl.report.canvas import blank_figure, save_figure

_BLUE, _GREY, _GREEN, _ORANGE, _INK = "#2563eb", "#c3cad5", "#15803d", "#d97706", "#1f2937"
# In points (1/72 inch), of the 8.5 point monospace labels and of the markers.
_LETTER_WIDTH, _LETTER_HEIGHT, _DOT = 5.4, 10.0, 9.0
_MEGA, _KILO = 1e6, 1e3

_Box = tuple[float, float, float, float]


def plot_accuracy_path(path: Path, report: BuildReport) -> None:
    """Write a PNG of the path's accuracy against the bytes loaded, with all other mixes as light dots.

    Args:
        path: of the PNG file to write.
        report: what was measured; mixes without an accuracy are left out.

    Raises:
        MissingDependencyError: matplotlib is not installed.

    Example:
        >>> plot_accuracy_path(Path("accuracy_path.png"), report)                  # doctest: +SKIP
    """
    figure = blank_figure(7.2, 4.4)
    axes = figure.add_subplot()
    _draw(axes, report)
    save_figure(figure, path)


def _draw(axes: Any, report: BuildReport) -> None:
    largest = max(record.bytes for record in report.mixes)
    scale, unit = (_MEGA, "MB") if largest >= _MEGA else (_KILO, "kB")
    path, others = _measured(report.path), _measured(report.off_path)
    axes.scatter(*_points(others, scale), s=26, color=_GREY, linewidths=0, zorder=2, label="other mixes")
    axes.plot(*_points(path, scale), color=_BLUE, linewidth=2.2, marker="o", markersize=7,
              markeredgecolor="white", markeredgewidth=1.2, zorder=4, label="path")  # fmt: skip
    if report.teacher_accuracy is not None:
        axes.axhline(100 * report.teacher_accuracy, color=_GREEN, linewidth=1.2, linestyle=(0, (5, 3)), zorder=1,
                     label=f"teacher, {units.percent(report.teacher_accuracy)}")  # fmt: skip
    if report.kd_accuracy is not None:
        axes.scatter(*zip(*_kd_point(report, scale), strict=True), marker="D", s=42, color=_ORANGE,
                     edgecolors="white", linewidths=1, zorder=4,
                     label=f"student by plain distillation, {units.percent(report.kd_accuracy)}")  # fmt: skip
    dress(axes, f"{report.name}: accuracy against bytes loaded", f"bytes of the mix's files ({unit})")
    _label(axes, [str(r.mix) for r in path], *_points(path, scale), obstacles=_kd_point(report, scale))


def dress(axes: Any, title: str, x_label: str, *, columns: int = 4) -> None:
    """Title, axes and legend of a figure of accuracy against bytes."""
    axes.set_title(title, loc="left", fontsize=11, color=_INK, fontweight="bold")
    axes.set_xlabel(x_label, color=_INK)
    axes.set_ylabel("test accuracy (%)", color=_INK)
    axes.set_xlim(left=0)
    axes.margins(y=0.14)
    axes.grid(axis="y", color="#e5e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#9ca3af")
    axes.tick_params(colors="#4b5563", labelsize=9)
    # Outside, so that it never lies on a mix.
    axes.figure.legend(loc="outside lower center", ncols=columns, frameon=False, fontsize=8.5, labelcolor=_INK)


def _label(axes: Any, texts: list[str], xs: list[float], ys: list[float], obstacles: list[tuple[float, float]]) -> None:
    """Write each text above its point, or at the next place around it where it lies on nothing."""
    axes.figure.draw_without_rendering()  # the layout fixes the scale of the axes only when it is drawn
    points_per_pixel = 72 / axes.figure.dpi

    def on_page(x: float, y: float) -> tuple[float, float]:
        return tuple(axes.transData.transform((x, y)) * points_per_pixel)

    anchors = [on_page(x, y) for x, y in zip(xs, ys, strict=True)]
    taken = [_box(x, y, _DOT, _DOT) for x, y in [*anchors, *(on_page(x, y) for x, y in obstacles)]]
    taken += [_box(x, y, 1.0, 1.0) for x, y in _along(anchors)]
    for text, x, y, anchor in zip(texts, xs, ys, anchors, strict=True):
        size = (_LETTER_WIDTH * len(text), _LETTER_HEIGHT)
        boxes = {place: _box(anchor[0] + place[0], anchor[1] + place[1], *size) for place in _places(size[0])}
        place = next((p for p, box in boxes.items() if not any(_overlap(box, t) for t in taken)), (0.0, 12.0))
        taken.append(boxes[place])
        axes.annotate(text, (x, y), xytext=place, textcoords="offset points", ha="center", va="center",
                      fontsize=8.5, family="monospace", color=_INK, zorder=5)  # fmt: skip


def _places(width: float) -> list[tuple[float, float]]:
    """Offsets of a label's centre from its point, in points, the best first."""
    side = width / 2 + 8
    beside = [(x, y) for y in (0.0, 12.0, -12.0) for x in (-side, side)]
    return [(0.0, 12.0), (0.0, -12.0), *beside, (0.0, 24.0), (0.0, -24.0)]


def _along(line: list[tuple[float, float]], num_steps: int = 100) -> Iterator[tuple[float, float]]:
    for (x, y), (to_x, to_y) in pairwise(line):
        for step in range(num_steps):
            yield x + (to_x - x) * step / num_steps, y + (to_y - y) * step / num_steps


def _box(x: float, y: float, width: float, height: float) -> _Box:
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _overlap(a: _Box, b: _Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _kd_point(report: BuildReport, scale: float) -> list[tuple[float, float]]:
    if report.kd_accuracy is None:
        return []
    return [(report.path[0].bytes / scale, 100 * report.kd_accuracy)]


def _measured(records: tuple[MixRecord, ...]) -> list[MixRecord]:
    return [record for record in records if record.accuracy is not None]


def _percent(record: MixRecord) -> float:
    return 100 * (record.accuracy or 0.0)


def _points(records: list[MixRecord], scale: float) -> tuple[list[float], list[float]]:
    return [record.bytes / scale for record in records], [_percent(record) for record in records]
