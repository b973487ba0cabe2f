"""Tiers beside one another: the table that shows what a smaller device gives up and what it saves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tfpwl.report import units
from tfpwl.report.sheets import Sheet


@dataclass(frozen=True, slots=True)
class TierRecord:
    """One tier's bundle.

    Attributes:
        name: of the tier.
        rung: of the precision ladder, ``fp32`` where there is none.
        bundle_bytes: of all .tflite files.
        resident_bytes: most memory on the way to the all-teacher mix.
        student_accuracy, teacher_accuracy: of the two ends of the path, fractions 0..1.
        student_ms, teacher_ms: median answer of the two ends, the tiers measured in turn.
        passed: whether every gate and limit passed.
    """

    name: str
    rung: str
    bundle_bytes: int
    resident_bytes: int
    student_accuracy: float
    teacher_accuracy: float
    student_ms: float
    teacher_ms: float
    passed: bool


def tiers_sheet(name: str, records: Sequence[TierRecord], *, shares: bool = True) -> Sheet:
    """A row per tier.

    Args:
        name: of the pipeline.
        records: the smallest tier first.
        shares: also bytes and time as a share of the last tier's, the best one; 80 letters have no room for them.
    """
    best = records[-1]
    share = f"of {best.name}"
    header: tuple[str, ...] = (
        "tier", "files", "bytes", share, "memory", "accuracy, %", "answer, ms", share, "gates",
    )  # fmt: skip
    rows = tuple(_cells(record, best) for record in records)
    if not shares:
        header, rows = _without_shares(header), tuple(map(_without_shares, rows))
    return Sheet(f"{name}: {len(records)} tiers, from all-student to all-teacher", header, rows)


def _cells(record: TierRecord, best: TierRecord) -> tuple[str, ...]:
    return (
        record.name,
        record.rung,
        units.byte_size(record.bundle_bytes),
        f"{record.bundle_bytes / best.bundle_bytes:.2f}",
        units.byte_size(record.resident_bytes),
        f"{100 * record.student_accuracy:.2f} → {100 * record.teacher_accuracy:.2f}",
        f"{record.student_ms:.3f} → {record.teacher_ms:.3f}",
        f"{record.teacher_ms / best.teacher_ms:.2f}",
        "met" if record.passed else "not met",
    )


def _without_shares(cells: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(cell for index, cell in enumerate(cells) if index not in (3, 7))
