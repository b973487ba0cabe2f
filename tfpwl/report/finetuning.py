"""What fine-tuning on device data did to a pair, mix by mix, as the report has it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tfpwl.report import units


@dataclass(frozen=True, slots=True)
class FinetuneRecord:
    """Accuracy of a mix of the path, fractions 0..1 in Keras.

    Attributes:
        mix: such as ``"TTSS"``.
        old_before, old_after: on the test images of the pipeline's own data.
        new_before, new_after: on those of the data from devices.
    """

    mix: str
    old_before: float
    old_after: float
    new_before: float
    new_after: float


def finetune_header() -> tuple[str, ...]:
    """The columns of :func:`finetune_rows`."""
    return ("mix", "device data before", "after", "points", "own data before", "after", "points")


def finetune_rows(records: Sequence[FinetuneRecord]) -> Iterator[tuple[str, ...]]:
    """One row of text per mix."""
    for one in records:
        yield (
            f"`{one.mix}`",
            units.percent(one.new_before),
            units.percent(one.new_after),
            units.points(one.new_after - one.new_before),
            units.percent(one.old_before),
            units.percent(one.old_after),
            units.points(one.old_after - one.old_before),
        )
