"""The rungs of a precision ladder as the report has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class BoundaryRecord:
    """Features of one side of a boundary against the float ones: signal to noise in dB (None: equal), and cosine."""

    boundary: int
    side: str
    snr_db: float | None
    cosine: float


@dataclass(frozen=True, slots=True)
class RungRecord:
    """One rung of the ladder.

    Attributes:
        name: ``fp32``, ``fp16``, ``w8``, ``int8``, ``int8-equalized`` or ``int8-qat``.
        precision: of the files.
        method: how they were made: ``export``, ``weights``, ``calibration``, ``equalized`` or ``qat``.
        chosen: whether the bundle is this rung.
        on_ladder: whether it could be; fp32 is measured in any case, to compare with.
        bytes: of all files.
        drop: points that the worst mix of the path loses against fp32, negative where every mix gains.
        worst_mix: which mix that is.
        accuracy: fraction 0..1 by mix.
        latency_ms, latency_p90_ms: median and 90th percentile of one answer by mix, the rungs measured in turn.
        teacher_difference: largest difference between the all-teacher mix and the teacher in one piece.
        boundaries: errors of the features that pass the boundaries.
    """

    name: str
    precision: str
    method: str
    chosen: bool
    on_ladder: bool
    bytes: int
    drop: float
    worst_mix: str
    accuracy: Mapping[str, float]
    latency_ms: Mapping[str, float]
    latency_p90_ms: Mapping[str, float]
    teacher_difference: float | None = None
    boundaries: tuple[BoundaryRecord, ...] = ()

    @classmethod
    def from_metrics(cls, metrics: Mapping[str, Any], chosen: str | None = None) -> RungRecord:
        """A rung from plain data; ``chosen`` is the name of the chosen one, where the data does not say.

        Raises:
            KeyError, TypeError: a field is missing or unknown.
        """
        values = {"chosen": metrics["name"] == chosen, **metrics}
        values["boundaries"] = tuple(BoundaryRecord(**one) for one in metrics["boundaries"])
        return cls(**{field.name: values[field.name] for field in fields(cls)})
