"""Figures as people read them; a dash stands for what was not measured."""

from __future__ import annotations

NOT_MEASURED = "–"


def percent(fraction: float | None) -> str:
    """A fraction 0..1 as per cent with two decimals, a hundredth being one image of 10,000: ``"91.43 %"``."""
    return NOT_MEASURED if fraction is None else f"{100 * fraction:.2f} %"


def points(difference: float | None) -> str:
    """A difference of fractions as signed percentage points: ``"+1.30"``."""
    if difference is None:
        return NOT_MEASURED
    # + 0.0 turns the -0.0 that rounding leaves into 0.0.
    return f"{round(100 * difference, 2) + 0.0:+.2f}"


def byte_size(count: int) -> str:
    """Bytes in decimal units, as app stores and download managers count: ``"1.2 MB"``."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"


def milliseconds(value: float | None) -> str:
    """Milliseconds with three significant digits: ``"0.214 ms"``."""
    if value is None:
        return NOT_MEASURED
    decimals = 3 if value < 1 else 2 if value < 10 else 1
    return f"{value:.{decimals}f} ms"


def seconds(value: float) -> str:
    """Seconds, or minutes from two minutes on: ``"12.3 s"``, ``"4 min 05 s"``."""
    return f"{value:.1f} s" if value < 120 else f"{round(value) // 60} min {round(value) % 60:02d} s"
