"""The result of a benchmark as tables."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from tfpwl.bench import results
from tfpwl.bench.demands import Demand, steady_ratio
from tfpwl.bench.ladder import LadderResult
from tfpwl.bench.results import BenchResult, StartResult, percentile
from tfpwl.report import units
from tfpwl.report.sheets import Sheet


def bench_sheets(result: BenchResult, demands: Sequence[Demand] = ()) -> tuple[Sheet, ...]:
    """Starts warm and cold, answers, upgrades, demands; only what was measured.

    Example:
        >>> for sheet in bench_sheets(result, check_demands(result)):                # doctest: +SKIP
        ...     console.print(rich_table(sheet))
    """
    return tuple(_sheets(result, demands))


def _sheets(result: BenchResult, demands: Sequence[Demand]) -> Iterator[Sheet]:
    for cold in (False, True):
        starts = [start for start in result.starts if start.cold == cold]
        if starts:
            yield _start_sheet(result, starts, cold)
    if result.steady:
        yield _answer_sheet(result)
    if result.upgrades:
        yield _upgrade_sheet(result)
    if result.crowd is not None or result.rounds is not None:
        yield _endurance_sheet(result)
    if demands:
        yield demand_sheet(result.name, demands)


def ladder_sheet(ladder: LadderResult) -> Sheet:
    """What a boundary costs, cut by cut."""
    rows = [("one piece", _ms(ladder.whole_ms), units.NOT_MEASURED, units.NOT_MEASURED)]
    for step in ladder.steps:
        spread = f"{percentile(step.boundary_us, 0.1):.1f} to {percentile(step.boundary_us, 0.9):.1f}"
        rows.append((f"{step.num_groups} groups", _ms(step.median_ms), f"{step.median_boundary_us:.1f}", spread))
    return Sheet("Cost of a boundary", ("", "one answer (ms)", "µs per boundary", "p10 to p90"), tuple(rows))


def demand_sheet(name: str, demands: Sequence[Demand]) -> Sheet:
    """Every demand with the measured value, met or not."""
    return Sheet(
        f"{name}: demands",
        ("demand", "measured", "limit", "verdict"),
        tuple(
            (d.name, _value(d, d.value), ("< " if d.below else "≤ ") + _value(d, d.limit), _verdict(d)) for d in demands
        ),
    )


def _verdict(demand: Demand) -> str:
    if demand.met:
        return "met"
    return "not met" if demand.enough else "not met (measured too seldom)"


def _value(demand: Demand, value: float) -> str:
    if demand.unit == "×":
        return f"{value:.3f} ×"
    shown = f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 100 else f"{value:,.1f}"
    return f"{shown} {demand.unit}".strip()


def _start_sheet(result: BenchResult, starts: Sequence[StartResult], cold: bool) -> Sheet:
    own = next((start for start in starts if start.name == results.BUNDLE), starts[0])
    how = "cold (files out of the page cache)" if cold else "warm"
    return Sheet(
        f"{result.name}: start, {how}; medians in ms, memory over that before in MB",
        ("", "create", "first answer", "both", "p90", "bundle / this", "peak", "anonymous", "read from disk"),
        tuple(
            (
                start.name, _ms(statistics.median(start.create_ms)), _ms(statistics.median(start.first_ms)),
                _ms(start.median_ms), _ms(percentile(start.total_ms, 0.9)),
                f"{own.median_ms / start.median_ms:.2f}", _megabytes(start.peak_growth),
                _megabytes(start.anonymous_growth), _megabytes(start.storage_read),
            )
            for start in starts
        ),
    )  # fmt: skip


def _answer_sheet(result: BenchResult) -> Sheet:
    rivals = {results.TEACHER_CHAIN: results.TEACHER, results.STUDENT_CHAIN: results.STUDENT,
              results.TEACHER_INTERPRETER: results.TEACHER}  # fmt: skip

    def ratio(name: str) -> str:
        found = steady_ratio(result, name, rivals[name]) if name in rivals else None
        return units.NOT_MEASURED if found is None else f"{found:.3f}"

    return Sheet(
        f"{result.name}: one answer, everything loaded; ms",
        ("", "median", "p90", "p99", "answers", "/ one piece"),
        tuple(
            (s.name, _ms(s.p50_ms), _ms(s.p90_ms), _ms(s.p99_ms), f"{s.num_answers:,}", ratio(s.name))
            for s in result.steady
        ),
    )


def _upgrade_sheet(result: BenchResult) -> Sheet:
    return Sheet(
        f"{result.name}: upgrades with answers going on; ratios to the steady median of the slower mix of the step, ms",
        ("", "upgrades", "answers", "worst ratio", "median of worst", "over 2 ×", "worst answer", "idle worst ratio",
         "full teacher after"),
        tuple(
            (
                "cold" if u.cold else "warm", str(len(u.worst_ratios)), f"{u.num_answers:,}",
                f"{max(u.worst_ratios):.2f}", f"{statistics.median(u.worst_ratios):.2f}",
                f"{u.num_over:,} ({100 * u.num_over / max(1, u.num_answers):.2f} %)", _ms(max(u.worst_ms)),
                f"{max(u.idle_worst_ratios):.2f}", _ms(statistics.median(u.full_teacher_ms)),
            )
            for u in result.upgrades
        ),
    )  # fmt: skip


def _endurance_sheet(result: BenchResult) -> Sheet:
    rows: list[tuple[str, str]] = []
    if (crowd := result.crowd) is not None:
        what = f"{crowd.threads} threads asking during {crowd.upgrades} upgrades"
        rows.append((what, f"{crowd.asked:,} answers, {crowd.lost} lost, {crowd.wrong} wrong"))
    if (rounds := result.rounds) is not None:
        found = (
            f"{rounds.slope_bytes:+,.0f} bytes a round, {rounds.files_left} files, {rounds.threads_left} threads left"
        )
        rows.append((f"{rounds.rounds:,} upgrades and downgrades", found))
    return Sheet(f"{result.name}: endurance", ("", "found"), tuple(rows))


def describe_run(result: BenchResult) -> str:
    """One sentence on what was measured where, for above or below the tables."""
    machine = result.machine
    return (
        f"{result.name} ({result.precision}, student {units.byte_size(result.student_bytes)}, teacher "
        f"{units.byte_size(result.teacher_bytes)}), engine {result.engine}, {result.threads} thread(s), "
        f"{result.repeats} fresh processes per figure; {machine.processor}, {machine.cores} cores, "
        f"{machine.memory_bytes / 2**30:.0f} GiB, {machine.system}, Python {machine.python}, "
        f"ai-edge-litert {machine.litert}."
    )


def _ms(value: float) -> str:
    return units.milliseconds(value).removesuffix(" ms")


def _megabytes(count: int | None) -> str:
    return units.NOT_MEASURED if count is None else f"{max(0, count) / 1e6:.1f}"
