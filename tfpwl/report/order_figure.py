"""The picture of load orders: accuracy of the mix that answers against what has been loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfpwl.report import units
from tfpwl.report.canvas import blank_figure, save_figure
from tfpwl.report.figure import dress

if TYPE_CHECKING:
    from tfpwl.evaluate import OrderPlan

# The first order is what the picture is about; the others are there to compare.
_COLORS = ("#2563eb", "#d97706", "#9ca3af", "#15803d")
_INK = "#1f2937"
_MEGA, _KILO = 1e6, 1e3


def plot_orders(path: Path, title: str, plans: Mapping[str, OrderPlan], *, unit: str = "bytes") -> None:
    """Write a PNG with one stair per order: while a step's files load, the mix before it answers.

    Args:
        path: of the PNG file to write.
        title: above the picture.
        plans: by the name for the legend; the first one is drawn in front.
        unit: of what was loaded, ``"bytes"`` or ``"ms"``.

    Raises:
        MissingDependencyError: matplotlib is not installed.

    Example:
        >>> plot_orders(Path("orders.png"), "digits", {"planned": plan, "prefix": prefix})     # doctest: +SKIP
    """
    figure = blank_figure(7.2, 4.4)
    axes = figure.add_subplot()
    largest = max(plan.steps[-1].loaded for plan in plans.values())
    scale, shown = (1.0, "ms") if unit == "ms" else (_MEGA, "MB") if largest >= _MEGA else (_KILO, "kB")
    for place, (name, plan) in enumerate(plans.items()):
        _draw(axes, name, plan, scale, _COLORS[place % len(_COLORS)], front=place == 0)
    dress(axes, title, f"loaded ({shown})", columns=1)
    save_figure(figure, path)


def _draw(axes: Any, name: str, plan: OrderPlan, scale: float, color: str, *, front: bool) -> None:
    xs = [step.loaded / scale for step in plan.steps]
    ys = [100 * step.accuracy for step in plan.steps]
    label = f"{name} ({', '.join(map(str, plan.order))}): {units.percent(plan.mean_accuracy)} on average"
    axes.step(xs, ys, where="post", color=color, linewidth=2.4 if front else 1.4, zorder=4 if front else 2,
              marker="o", markersize=6 if front else 4, label=label)  # fmt: skip
    if front:
        for step, x, y in zip(plan.steps, xs, ys, strict=True):
            axes.annotate(step.mix, (x, y), xytext=(0, 8), textcoords="offset points", ha="center", fontsize=8.5,
                          family="monospace", color=_INK, zorder=5)  # fmt: skip
