"""What is demanded of a bundle, and whether a result meets it."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from tfpwl.bench import results
from tfpwl.bench.ladder import LadderResult
from tfpwl.bench.results import BenchResult

MAX_OVER_STUDENT = 1.3
MAX_OF_TEACHER = 0.4
MAX_WORST_ANSWER = 2.0
MIN_UPGRADES = 20
MAX_TEACHER_CHAIN = 1.03
MAX_STUDENT_CHAIN = 1.05
MAX_SLOPE_BYTES = 1000.0
MIN_ROUNDS = 200
MAX_BOUNDARY_US = 30.0


@dataclass(frozen=True, slots=True)
class Demand:
    """A measured value and the most that it may be. ``enough`` is False where too little was measured to judge."""

    name: str
    value: float
    limit: float
    unit: str = "×"
    below: bool = False
    enough: bool = True

    @property
    def met(self) -> bool:
        """Whether the value keeps the limit; under it where ``below``, never where it was measured too seldom."""
        return self.enough and (self.value < self.limit if self.below else self.value <= self.limit)


def check_demands(result: BenchResult, *, of_teacher: float = MAX_OF_TEACHER) -> tuple[Demand, ...]:
    """Every demand that the result has the figures for.

    Args:
        result: of a benchmark with its rivals.
        of_teacher: the most that create + first answer may take of the one-piece teacher's.

    Example:
        >>> [demand.name for demand in check_demands(result) if not demand.met]     # doctest: +SKIP
        []
    """
    return (*_start_demands(result, of_teacher), *_answer_demands(result), *_upgrade_demands(result))


def _start_demands(result: BenchResult, of_teacher: float) -> Iterator[Demand]:
    for cold in (False, True):
        # The bundle as an app opens it that wants its first answer soon; older results have not measured that.
        own = result.start(results.BUNDLE_EARLY, cold=cold) or result.start(results.BUNDLE, cold=cold)
        if own is None:
            continue
        how = "cold" if cold else "warm"
        limits = [(results.STUDENT, MAX_OVER_STUDENT, False), (results.TEACHER, of_teacher, False)]
        if cold:
            limits.append((results.TEACHER_CACHED, 1.0, True))
        for name, limit, below in limits:
            rival = result.start(name, cold=cold)
            if rival is not None:
                what = f"create + first answer, {how}: {own.name} / {name}"
                yield Demand(what, own.median_ms / rival.median_ms, limit, below=below)


def _answer_demands(result: BenchResult) -> Iterator[Demand]:
    for chain, whole, limit in (
        (results.TEACHER_CHAIN, results.TEACHER, MAX_TEACHER_CHAIN),
        (results.STUDENT_CHAIN, results.STUDENT, MAX_STUDENT_CHAIN),
    ):
        ratio = steady_ratio(result, chain, whole)
        if ratio is not None:
            yield Demand(f"one answer: {chain} / {whole}", ratio, limit)


def steady_ratio(result: BenchResult, name: str, other: str) -> float | None:
    """How much longer an answer takes than another subject's: the median of what each process found."""
    a, b = result.steady_of(name), result.steady_of(other)
    if a is None or b is None:
        return None
    return statistics.median(x / y for x, y in zip(a.medians_ms, b.medians_ms, strict=True))


def _upgrade_demands(result: BenchResult) -> Iterator[Demand]:
    ratios = [ratio for upgrade in result.upgrades for ratio in upgrade.worst_ratios]
    if ratios:
        what = f"worst answer during {len(ratios)} upgrades / steady median of the slower mix"
        yield Demand(what, max(ratios), MAX_WORST_ANSWER, enough=len(ratios) >= MIN_UPGRADES)
    if result.crowd is not None:
        bad = result.crowd.lost + result.crowd.wrong
        what = f"{result.crowd.threads} threads, {result.crowd.asked:,} answers: lost or wrong"
        yield Demand(what, bad, 0, unit="")
    if result.rounds is not None:
        rounds = result.rounds
        what = f"memory over {rounds.rounds:,} upgrades and downgrades: growth per round"
        # One page more in the last of a few rounds would look like a slope.
        enough = rounds.rounds >= MIN_ROUNDS
        yield Demand(what, rounds.slope_bytes, MAX_SLOPE_BYTES, unit="bytes", enough=enough)
        left = max(0, rounds.files_left) + max(0, rounds.threads_left)
        yield Demand("files and threads left afterwards", left, 0, unit="")


def ladder_demands(ladder: LadderResult) -> tuple[Demand, ...]:
    """At most 30 µs per boundary, whatever the cut."""
    return tuple(
        Demand(f"cost of a boundary, {step.num_groups} groups", step.median_boundary_us, MAX_BOUNDARY_US, unit="µs")
        for step in ladder.steps
    )
