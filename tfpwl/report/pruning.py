"""What pruning did to a pair, step by step, as the report has it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tfpwl.report import units


@dataclass(frozen=True, slots=True)
class PruneRecord:
    """One side after a step of pruning and its fine-tuning; step 0 is the side before.

    Attributes:
        side: ``student`` or ``teacher``.
        step: how many steps are done.
        flops: of one example, None where a size is not fixed.
        params: number of weights.
        val_accuracy, test_accuracy: fractions 0..1, in Keras.
    """

    side: str
    step: int
    flops: int | None
    params: int
    val_accuracy: float
    test_accuracy: float


def prune_header() -> tuple[str, ...]:
    """The columns of :func:`prune_rows`."""
    return ("side, step", "MFLOPs", "left", "parameters", "left", "validation", "test")


def prune_rows(records: Sequence[PruneRecord]) -> Iterator[tuple[str, ...]]:
    """One row of text per record, sizes beside their share of those before the first step."""
    whole = {record.side: record for record in records if record.step == 0}
    for record in sorted(records, key=lambda one: (one.side, one.step)):
        before = whole[record.side]
        yield (
            f"{record.side}, {record.step}",
            units.NOT_MEASURED if record.flops is None else f"{record.flops / 1e6:.3f}",
            _share(record.flops, before.flops),
            f"{record.params:,}",
            _share(record.params, before.params),
            units.percent(record.val_accuracy),
            units.percent(record.test_accuracy),
        )


def _share(now: int | None, before: int | None) -> str:
    return units.NOT_MEASURED if now is None or not before else f"{now / before:.3f}"
