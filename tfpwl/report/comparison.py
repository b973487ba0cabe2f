"""What changed from one build to another, and whether it is more than allowed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from tfpwl.errors import DataError
from tfpwl.mix import Mix
from tfpwl.report import units
from tfpwl.report.build_report import BuildReport
from tfpwl.report.sheets import Sheet

Quantity = Literal["accuracy", "bytes", "latency"]
_BUNDLE = "bundle"


@dataclass(frozen=True, slots=True)
class Growth:
    """One figure before and after.

    Attributes:
        what: a mix of the path, or ``bundle``.
        quantity: ``accuracy`` (fraction), ``bytes`` or ``latency`` (milliseconds).
        before, after: the figures.
        limit: how much worse it may be: points of accuracy, per cent of bytes or latency; None for any.
    """

    what: str
    quantity: Quantity
    before: float
    after: float
    limit: float | None

    @property
    def loss(self) -> float:
        """How much worse it became, in the limit's unit; negative where it became better."""
        if self.quantity == "accuracy":
            # Counts over counts: 0.885 - 0.880 must be 0.5 points, not a hair more.
            return round(100.0 * (self.before - self.after), 9)
        return round(100.0 * (self.after - self.before) / self.before, 9)

    @property
    def passed(self) -> bool:
        """Whether it is within the limit."""
        return self.limit is None or self.loss <= self.limit


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two builds beside each other.

    Attributes:
        before, after: labels of the runs.
        growths: every figure that both have.
        newly_failed: gates that held before and fail now.
    """

    before: str
    after: str
    growths: tuple[Growth, ...]
    newly_failed: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether every figure is within its limit."""
        return all(growth.passed for growth in self.growths)


def compare_reports(
    before: BuildReport,
    after: BuildReport,
    *,
    max_drop: float | None = None,
    max_bytes_growth: float | None = None,
    max_latency_growth: float | None = None,
) -> Comparison:
    """Compare the mixes of the path, and the bundle's bytes.

    Args:
        before, after: two builds of pairs with equally many groups and the same order.
        max_drop: points of accuracy that any mix of the path may lose.
        max_bytes_growth: per cent that the bundle, or the files of any mix of the path, may grow.
        max_latency_growth: per cent that the answer of any mix of the path may take longer.

    Raises:
        DataError: the two have not the same path, or a figure for a limit is missing.

    Example:
        >>> compare_reports(main, branch, max_drop=0.5).passed                     # doctest: +SKIP
        True
    """
    if before.order != after.order:
        raise DataError(
            f"{before.label} loads its groups in the order {list(before.order)}, {after.label} in "
            f"{list(after.order)}; expected two runs with the same number of groups and the same order."
        )
    limits: dict[Quantity, float | None] = {
        "accuracy": max_drop, "bytes": max_bytes_growth, "latency": max_latency_growth
    }  # fmt: skip
    growths = tuple(
        growth for quantity, limit in limits.items() for growth in _growths(before, after, quantity, limit)
    )  # fmt: skip
    held = {gate.name for gate in before.gates if gate.passed}
    failed = tuple(gate.name for gate in after.gates if not gate.passed and gate.name in held)
    return Comparison(before.label, after.label, growths, failed)


def pair_reports(
    before: Sequence[BuildReport], after: Sequence[BuildReport]
) -> list[tuple[BuildReport, BuildReport]]:  # fmt: skip
    """Who is compared with whom: two single runs, or each tier with the same one before; new tiers are left out.

    Raises:
        DataError: a tier is there no more, or only one of the two has tiers.
    """
    if len(before) == len(after) == 1:
        return [(before[0], after[0])]
    for reports in (before, after):
        tiers = [report.tier for report in reports]
        if len(set(tiers)) < len(tiers):
            raise DataError(
                f"Received {' and '.join(report.label for report in reports)}; expected the tiers of one build. Name "
                "single runs instead."
            )
    now = {report.tier: report for report in after}
    if missing := [report.label for report in before if report.tier not in now]:
        raise DataError(
            f"There is nothing to compare {' and '.join(missing)} with; the other run has the tiers "
            f"{', '.join(str(tier) for tier in now)}. Name single runs instead."
        )
    return [(report, now[report.tier]) for report in before]


def comparison_sheet(comparison: Comparison) -> Sheet:
    """The figures as a table; what is over its limit says so."""
    rows = [
        (growth.what, growth.quantity, _show(growth.quantity, growth.before), _show(growth.quantity, growth.after),
         _change(growth), _verdict(growth))
        for growth in comparison.growths
    ]  # fmt: skip
    title = f"{comparison.before} → {comparison.after}"
    return Sheet(title, ("what", "", "before", "after", "change", "limit"), tuple(rows))


def _growths(before: BuildReport, after: BuildReport, quantity: Quantity, limit: float | None) -> Iterator[Growth]:
    if quantity == "bytes":
        if before.bundle_bytes and after.bundle_bytes:
            yield Growth(_BUNDLE, quantity, before.bundle_bytes, after.bundle_bytes, limit)
        elif limit is not None and (before.bundle_bytes or after.bundle_bytes):
            lacking = after.label if before.bundle_bytes else before.label
            raise DataError(
                f"{lacking} has no bytes of its bundle, so their limit cannot be checked. Build it again, or leave the "
                "limit out."
            )
    for record in before.path:
        was, now = _figure(before, record.mix, quantity), _figure(after, record.mix, quantity)
        if was is not None and now is not None and (was > 0 or quantity == "accuracy"):
            yield Growth(record.mix, quantity, was, now, limit)
        elif limit is not None:
            lacking = before.label if was is None or was == 0 else after.label
            raise DataError(
                f"{lacking} has no {quantity} of {record.mix}, so its limit cannot be checked. Build it again, or "
                "leave the limit out."
            )


def _figure(report: BuildReport, mix: Mix, quantity: Quantity) -> float | None:
    record = report.record(mix)
    return {"accuracy": record.accuracy, "bytes": record.bytes, "latency": record.latency_ms}[quantity]


def _show(quantity: Quantity, value: float) -> str:
    if quantity == "accuracy":
        return units.percent(value)
    return units.byte_size(int(value)) if quantity == "bytes" else units.milliseconds(value)


def _change(growth: Growth) -> str:
    if growth.quantity == "accuracy":
        return f"{units.points(growth.after - growth.before)} points"
    return f"{round(growth.loss, 1) + 0.0:+.1f} %"


def _verdict(growth: Growth) -> str:
    return _allowed(growth) if growth.passed else f"not met: {_allowed(growth)}"


def _allowed(growth: Growth) -> str:
    if growth.limit is None:
        return ""
    sign, unit = ("-", "points") if growth.quantity == "accuracy" else ("+", "%")
    return f"{sign}{growth.limit:g} {unit}"


def failures(comparison: Comparison) -> Sequence[str]:
    """A sentence per figure that is over its limit."""
    return [
        f"{growth.what}: {growth.quantity} went from {_show(growth.quantity, growth.before)} to "
        f"{_show(growth.quantity, growth.after)}, {_change(growth)}; allowed {_allowed(growth)}"
        for growth in comparison.growths
        if not growth.passed
    ]  # fmt: skip
