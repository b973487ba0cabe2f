"""The range of a tensor's values: what a scale and a zero point are made from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tfpwl.errors import QuantizationError

_LEVELS = 255  # of int8
_DEAD_RANGE = 1.0


@dataclass(frozen=True, slots=True)
class Range:
    """Smallest and largest value seen, in the tensor's own units."""

    low: float
    high: float

    def merge(self, other: Range) -> Range:
        """The range that holds both."""
        return Range(min(self.low, other.low), max(self.high, other.high))

    @property
    def is_dead(self) -> bool:
        """Nothing but 0 was seen: no scale follows from it."""
        return self.low == 0.0 == self.high

    @property
    def is_finite(self) -> bool:
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def scale(self) -> float:
        """Of int8 with 0 in the range, as padding needs it (arXiv 1712.05877, section 2.3)."""
        return (max(self.high, 0.0) - min(self.low, 0.0)) / _LEVELS

    @property
    def zero_point(self) -> int:
        """The int8 value that stands for 0."""
        return round(-128 - min(self.low, 0.0) / self.scale)

    def checked(self, where: str) -> Range:
        """This range, if it can be quantized.

        Raises:
            QuantizationError: it holds NaN or an infinite value.
        """
        if not self.is_finite:
            raise QuantizationError(
                f"{where}: received values from {self.low} to {self.high} in the calibration; expected finite ones. "
                "Look for NaN or infinite values in the weights (a training that diverged)."
            )
        return self

    def widened(self) -> Range:
        """This range, or [0, 1] for a tensor that is 0 whatever the image is.

        A layer whose ReLUs have all died does no harm inside a group (the residual goes around it), and any scale holds
        a 0 exactly. The smallest scale would not do: XNNPACK takes no ratio of scales above 256, so that a scale of
        1e-11 throws the operator out of its partition.
        """
        return Range(0.0, _DEAD_RANGE) if self.is_dead else self


class RangeObserver:
    """Collects the range of one tensor over many images. NaN stays visible: it ends up in ``low`` and ``high``."""

    __slots__ = ("high", "low")

    def __init__(self) -> None:
        self.low = np.float32(np.inf)
        self.high = np.float32(-np.inf)

    def see(self, values: np.ndarray) -> None:
        # np.minimum hands NaN on; the builtin min would lose it.
        self.low = np.minimum(self.low, values.min())
        self.high = np.maximum(self.high, values.max())

    def range(self) -> Range:
        return Range(float(self.low), float(self.high))
