"""The rungs of a precision ladder as they were measured, and the choice among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tfpwl.mix import Mix
from tfpwl.quantize.fidelity import BoundaryError

Select = Literal["fastest", "smallest", "first"]
# Two measurements of one file differ by this much on a shared machine; within it the smaller rung is the better one.
_SAME_SPEED = 1.05


@dataclass(frozen=True, slots=True)
class Rung:
    """A precision, measured through its files.

    Attributes:
        precision: ``fp32``, ``fp16``, ``w8`` or ``int8``.
        method: how the files were made: ``export``, ``weights``, ``calibration``, ``equalized`` (calibration after the
            channels of the boundaries were brought to like ranges) or ``qat``.
        bytes: of all files of the bundle.
        accuracy: fraction 0..1 by mix, the path's at least.
        latency_ms: median of one answer by mix, the path's at least; measured in turn with the other rungs.
        latency_p90_ms: what nine answers of ten do not exceed.
        boundaries: difference to the float features at each boundary.
        teacher_difference: largest difference between the all-teacher mix and the teacher in one piece.
    """

    precision: str
    method: str
    bytes: int
    accuracy: Mapping[str, float]
    latency_ms: Mapping[str, float]
    latency_p90_ms: Mapping[str, float]
    boundaries: tuple[BoundaryError, ...] = ()
    teacher_difference: float | None = None

    @property
    def name(self) -> str:
        """What tells the rung from the others: ``int8`` by calibration, ``int8-equalized``, ``int8-qat``."""
        return f"{self.precision}-{self.method}" if self.method in {"equalized", "qat"} else self.precision

    def worst_drop(self, reference: Rung, path: Sequence[Mix]) -> tuple[float, Mix]:
        """Points of accuracy lost against ``reference`` on the mix of ``path`` that loses most, and that mix.

        Negative where every mix gains.
        """
        # Counts over counts: 0.915 - 0.905 must be 1.0 points, not 1.0000000000000009.
        drops = [(round(100 * (reference.accuracy[mix] - self.accuracy[mix]), 9), mix) for mix in path]
        return max(drops, key=lambda one: one[0])


@dataclass(frozen=True, slots=True)
class Choice:
    """Which rung was taken and why.

    Attributes:
        rung: the chosen one; where none passes, the one that loses least.
        passed: whether it keeps the limit.
        reason: one sentence with the figures.
    """

    rung: Rung
    passed: bool
    reason: str


def choose(
    rungs: Sequence[Rung], reference: Rung, path: Sequence[Mix], *, max_drop: float, select: Select = "fastest"
) -> Choice:
    """The fastest, smallest or first of the rungs that lose at most ``max_drop`` points on every mix of the path.

    Speed is the median of the all-teacher mix, with which an app answers from the last upgrade on. Rungs within 5 %
    count as equally fast unless that makes them slower than ``reference``; the smallest of them is taken.

    Args:
        rungs: the ladder, at least one.
        reference: the fp32 files, on the ladder or not.
        path: the mixes that count.
        max_drop: in points.
        select: ``fastest``, ``smallest`` or ``first``, in the order of ``rungs``.

    Example:
        >>> choose(rungs, rungs[0], path, max_drop=1.0).reason                     # doctest: +SKIP
        'int8 is the fastest of the rungs (fp32, fp16, w8, int8) that lose at most 1 points on every mix of the path; …'
    """
    drops = {rung.name: rung.worst_drop(reference, path) for rung in rungs}
    passing = [rung for rung in rungs if drops[rung.name][0] <= max_drop]
    if not passing:
        best = min(rungs, key=lambda rung: drops[rung.name][0])
        drop, mix = drops[best.name]
        reason = (
            f"None of {', '.join(rung.name for rung in rungs)} keeps within {max_drop:g} points of "
            f"{reference.name} on every mix of the path; {best.name} comes closest and loses {drop:.2f} on {mix}."
        )
        return Choice(best, False, reason)
    if select == "smallest":
        chosen = min(passing, key=lambda rung: rung.bytes)
    elif select == "first":
        chosen = passing[0]
    else:
        chosen = _fastest(passing, reference, path[-1])
    others = ", ".join(rung.name for rung in passing)
    which = f"the {select} of the rungs ({others}) that lose" if len(passing) > 1 else "the only rung that loses"
    drop, mix = drops[chosen.name]
    loss = f"{drop:.2f} points at most, on {mix}" if drop > 0 else "nothing on any mix"
    reason = f"{chosen.name} is {which} at most {max_drop:g} points on every mix of the path; it loses {loss}"
    if chosen.name != reference.name:
        mine, theirs = chosen.latency_ms[path[-1]], reference.latency_ms[path[-1]]
        reason += (
            f", answers with {path[-1]} in {mine:.3g} ms ({reference.name}: {theirs:.3g} ms) and takes "
            f"{chosen.bytes / reference.bytes:.2f} of the bytes"
        )
    return Choice(chosen, True, f"{reason}.")


def _fastest(rungs: Sequence[Rung], reference: Rung, mix: Mix) -> Rung:
    best = min(rung.latency_ms[mix] for rung in rungs)
    limit = max(best, min(_SAME_SPEED * best, reference.latency_ms[mix]))
    return min((rung for rung in rungs if rung.latency_ms[mix] <= limit), key=lambda rung: rung.bytes)
