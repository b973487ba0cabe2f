"""What ``tfpwl plan`` prints: the planned path, the orders it is compared with, the best mix for the budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console

if TYPE_CHECKING:
    from tfpwl.bundle import Bundle
    from tfpwl.evaluate import OrderPlan
    from tfpwl.mix import Mix
    from tfpwl.report.sheets import Sheet


@dataclass(frozen=True)
class PlanView:
    """A plan as tables or as JSON.

    Attributes:
        bundle: that it is for.
        planned, others: the plan, and the orders to compare with, by name.
        tolerance: percentage points that a step may lose.
        cost: ``"bytes"`` or ``"time"``: what is loaded counts in.
        budget, fitting: bytes, and the best mix that fits; None where there is none.
        accuracy: of the measured mixes, 0..1.
    """

    bundle: Bundle
    planned: OrderPlan
    others: Mapping[str, OrderPlan]
    tolerance: float
    cost: str
    budget: int | None
    fitting: Mix | None
    accuracy: Mapping[Mix, float]

    @property
    def never_falls(self) -> bool:
        """Whether the plan keeps the tolerance."""
        return self.planned.never_falls(self.tolerance / 100)

    def as_json(self) -> dict[str, Any]:
        """For scripts: accuracies and tolerance as fractions 0..1."""
        result: dict[str, Any] = {
            "bundle": str(self.bundle.root),
            "tolerance": self.tolerance / 100,
            "cost": "ms" if self.cost == "time" else "bytes",
            "never_falls": self.never_falls,
            "planned": _plan_fields(self.planned),
            "compared": {name: _plan_fields(other) for name, other in self.others.items()},
        }
        if self.budget is not None:
            mix = self.fitting
            best = mix and {"mix": mix, "accuracy": self.accuracy[mix], "bytes": self.bundle.mix_bytes(mix)}
            result["budget"] = {"bytes": self.budget, "best": best}
        return result

    def show(self, console: Console) -> None:
        """For people."""
        from tfpwl.report.sheets import rich_table  # noqa: PLC0415

        for sheet in (self._path_sheet(), self._orders_sheet()):
            console.print(rich_table(sheet))
        for remark in self._remarks():
            console.print(remark, soft_wrap=True)

    def _remarks(self) -> list[str]:
        from tfpwl.report import units  # noqa: PLC0415

        remarks = []
        if not self.never_falls:
            remarks.append(
                f"Every order falls by more than {self.tolerance:g} points somewhere; this one falls least, by "
                f"{100 * self.planned.worst_fall:.2f}."
                if self.planned.exact
                else f"No order was found that never falls by more than {self.tolerance:g} points; this one falls by "
                f"{100 * self.planned.worst_fall:.2f} at most."
            )
        if not self.planned.exact:
            groups = len(self.planned.order)
            remarks.append(f"{groups} groups have too many mixes to measure; the order was found group by group.")
        if self.fitting is not None and self.budget is not None:
            remarks.append(
                f"Best mix within {units.byte_size(self.budget)}: {self.fitting}, "
                f"{units.percent(self.accuracy[self.fitting])}, {units.byte_size(self.bundle.mix_bytes(self.fitting))}."
            )
        return remarks

    def _path_sheet(self) -> Sheet:
        from tfpwl.report import units  # noqa: PLC0415
        from tfpwl.report.sheets import Sheet  # noqa: PLC0415

        before: float | None = None
        rows = []
        for step in self.planned.steps:
            change = units.points(None if before is None else step.accuracy - before)
            rows.append((str(step.mix), units.percent(step.accuracy), change, self._amount(step.loaded)))
            before = step.accuracy
        title = f"{self.bundle.manifest.name}: planned order {', '.join(map(str, self.planned.order))}"
        return Sheet(title, ("mix", "accuracy", "step", "loaded"), tuple(rows))

    def _orders_sheet(self) -> Sheet:
        from tfpwl.report import units  # noqa: PLC0415
        from tfpwl.report.sheets import Sheet  # noqa: PLC0415

        rows = tuple(
            (
                name, ", ".join(map(str, plan.order)), units.percent(plan.mean_accuracy),
                f"{100 * plan.worst_fall:.2f}", self._amount(plan.steps[-1].loaded),
            )
            for name, plan in {"planned": self.planned, **self.others}.items()
        )  # fmt: skip
        return Sheet("Compared", ("order", "groups", "accuracy while loading", "worst fall", "loaded in all"), rows)

    def _amount(self, loaded: float) -> str:
        from tfpwl.report import units  # noqa: PLC0415

        return units.milliseconds(loaded) if self.cost == "time" else units.byte_size(int(loaded))


def _plan_fields(plan: OrderPlan) -> dict[str, Any]:
    return {
        "order": list(plan.order),
        "mean_accuracy": plan.mean_accuracy,
        "worst_fall": plan.worst_fall,
        "exact": plan.exact,
        "path": [{"mix": str(step.mix), "accuracy": step.accuracy, "loaded": step.loaded} for step in plan.steps],
    }
