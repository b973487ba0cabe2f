"""A blank figure, and its PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tfpwl.errors import MissingDependencyError


def blank_figure(width: float, height: float) -> Any:
    """A matplotlib figure of so many inches, which :func:`save_figure` can write.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        # Not pyplot: a Figure of its own needs no global state, no display and no choice of backend.
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as exc:
        raise MissingDependencyError("The figure needs matplotlib: pip install 'tfpwl[train]'") from exc
    figure = Figure(figsize=(width, height), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Any, path: Path) -> None:
    """Write the PNG; equal figures give equal bytes, because no version of matplotlib is in the file."""
    figure.savefig(path, format="png", metadata={"Software": None})
