"""The order in which teacher groups should be loaded, and the best mix for a budget, from what mixes measured.

While the files of a step load, the mix before it answers. So an order earns accuracy × bytes, the area under its
accuracy against the bytes loaded; a step costs the files that its mix needs and the one before it did not have: the
teacher's group and a converter. A boundary needs one converter at most on the whole way (the encoder if the teacher
comes first on its left, else the decoder), so what a step costs depends on its two mixes alone, and the best order is
a shortest way from all-student to all-teacher through the mixes. Up to 10 groups it is found exactly by dynamic
programming over the 2**N mixes, as Held and Karp (1962) did for tours; beyond, greedily.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tfpwl import mix as mixes
from tfpwl.bundle import FileEntry, Manifest
from tfpwl.mix import STUDENT, Mix

# 1,024 mixes have to be measured; finding the order among them then takes 20 ms.
MAX_GROUPS_FOR_EXACT = 10
# Accuracies are counts over counts: 0.91 - 0.90 must not exceed a tolerance of 0.01.
_ROUNDING = 1e-9

# Accuracies (0..1) of the mixes asked for. Called with several mixes at once, because they share work when measured.
Measure = Callable[[Sequence[Mix]], Mapping[Mix, float]]
Cost = Callable[[FileEntry], float]


@dataclass(frozen=True, slots=True)
class PlanStep:
    """A mix of the path: its accuracy (0..1) and what was loaded up to it (bytes, or ms with another cost)."""

    mix: Mix
    accuracy: float
    loaded: float


@dataclass(frozen=True, slots=True)
class OrderPlan:
    """An order and what it gives.

    Attributes:
        order: in which teacher groups replace student groups.
        steps: the N+1 mixes of its path, all-student first.
        mean_accuracy: over the bytes that loading the teacher takes: the area under the curve, divided by its
            width. The width is the same for all orders of a bundle; one that needs fewer bytes has the teacher's
            accuracy for the rest.
        worst_fall: the most accuracy that a single step loses; 0 if none does.
        exact: whether no other order is better; False for an order that was given or found greedily.
    """

    order: tuple[int, ...]
    steps: tuple[PlanStep, ...]
    mean_accuracy: float
    worst_fall: float
    exact: bool = False

    def never_falls(self, tolerance: float = 0.0) -> bool:
        """Whether no step loses more than ``tolerance``."""
        return self.worst_fall <= tolerance + _ROUNDING


def entry_bytes(entry: FileEntry) -> float:
    """The cost of loading a file, counted in bytes."""
    return entry.bytes


def plan_order(
    manifest: Manifest, measure: Measure, *, tolerance: float = 0.0, cost: Cost = entry_bytes, exact: bool | None = None
) -> OrderPlan:
    """The order with the largest area under accuracy against bytes loaded among those whose path never falls.

    Where every path falls by more than ``tolerance`` somewhere, the orders with the smallest worst fall are left to
    choose from; :meth:`OrderPlan.never_falls` of the result tells.

    Args:
        manifest: of the bundle.
        measure: gives the accuracy of mixes: all of them up to 10 groups, about N²/2 beyond.
        tolerance: fraction of accuracy (0..1) that a step may lose.
        cost: of loading a file; its bytes by default, or measured milliseconds.
        exact: look at all mixes; by default with at most 10 groups.

    Returns:
        The plan. Found greedily, it is never worse than the prefix and the suffix order.

    Raises:
        ValueError: ``tolerance`` is negative, or ``measure`` leaves a mix out.

    Example:
        >>> plan_order(manifest, lambda mixes: {mix: found[mix] for mix in mixes}).order       # doctest: +SKIP
        (2, 3, 1, 0)
    """
    if tolerance < 0:
        raise ValueError(f"Received tolerance={tolerance}; expected 0 or more.")
    ledger = Ledger(manifest, measure, cost)
    if manifest.num_groups <= MAX_GROUPS_FOR_EXACT if exact is None else exact:
        ledger.measure(mixes.all_mixes(manifest.num_groups))
        return ledger.plan(_best_order(ledger, tolerance), exact=True)
    orders = [_greedy_order(ledger, tolerance), *simple_orders(manifest.num_groups).values()]
    plans = [ledger.plan(order) for order in orders]
    return min(plans, key=lambda plan: (max(plan.worst_fall, tolerance + _ROUNDING), -plan.mean_accuracy))


def describe_order(
    manifest: Manifest, order: Sequence[int], measure: Measure, *, cost: Cost = entry_bytes
) -> OrderPlan:
    """What a given order gives, to compare it with a planned one.

    Raises:
        ValueError: ``order`` is no permutation of the groups, or ``measure`` leaves a mix out.
    """
    return Ledger(manifest, measure, cost).plan(tuple(order))


def simple_orders(num_groups: int) -> dict[str, tuple[int, ...]]:
    """``prefix`` (0, 1, 2, …, the paper's) and ``suffix`` (…, 2, 1, 0)."""
    prefix = mixes.prefix_order(num_groups)
    return {"prefix": prefix, "suffix": prefix[::-1]}


def best_mix(manifest: Manifest, accuracy: Mapping[Mix, float], budget_bytes: int) -> Mix | None:
    """The most accurate mix whose files fit a budget; of equals the smaller one. None when none fits.

    Args:
        manifest: of the bundle.
        accuracy: of the mixes to choose from, 0..1.
        budget_bytes: limit on the bytes of the mix's files.

    Example:
        >>> best_mix(bundle.manifest, found, budget_bytes=12_000_000)                # doctest: +SKIP
        'STTS'
    """
    fitting = [mix for mix in accuracy if manifest.mix_bytes(mix) <= budget_bytes]
    return max(fitting, key=lambda mix: (accuracy[mix], -manifest.mix_bytes(mix)), default=None)


class Ledger:
    """Accuracies and costs that were asked for once."""

    def __init__(self, manifest: Manifest, measure: Measure, cost: Cost = entry_bytes) -> None:
        self._manifest = manifest
        self._measure = measure
        self._cost = cost
        self._accuracy: dict[Mix, float] = {}
        self._steps: dict[tuple[Mix, Mix], float] = {}
        self.num_groups = manifest.num_groups
        self.first, self.last = Mix.all_student(self.num_groups), Mix.all_teacher(self.num_groups)

    def measure(self, wanted: Sequence[Mix]) -> None:
        """Ask for the accuracies that are not known yet, in one go."""
        unknown = [mix for mix in dict.fromkeys(wanted) if mix not in self._accuracy]
        if not unknown:
            return
        found = self._measure(unknown)
        missing = [str(mix) for mix in unknown if mix not in found]
        if missing:
            raise ValueError(f"The accuracy of {', '.join(missing[:5])} is missing; evaluate all mixes asked for.")
        self._accuracy.update((mix, float(found[mix])) for mix in unknown)

    def accuracy(self, mix: Mix) -> float:
        self.measure([mix])
        return self._accuracy[mix]

    def fall(self, before: Mix, after: Mix) -> float:
        """What the step loses, at least 0."""
        return max(0.0, self.accuracy(before) - self.accuracy(after))

    def cost(self, before: Mix, after: Mix) -> float:
        """Of the files that ``after`` needs and ``before`` has not loaded."""
        step = (before, after)
        if step not in self._steps:
            present = set(self._manifest.chain(before))
            self._steps[step] = sum(self._cost(entry) for entry in self._manifest.chain(after) if entry not in present)
        return self._steps[step]

    def shortfall(self, before: Mix, after: Mix) -> float:
        """The area between the teacher's accuracy and that of ``before`` while ``after`` loads."""
        return (self.accuracy(self.last) - self.accuracy(before)) * self.cost(before, after)

    def plan(self, order: Sequence[int], *, exact: bool = False) -> OrderPlan:
        """What ``order`` gives."""
        way = mixes.path(order)
        if len(order) != self.num_groups:
            raise ValueError(f"Received order {list(order)}; expected each group 0..{self.num_groups - 1} once.")
        self.measure(way)
        loaded = sum(map(self._cost, self._manifest.chain(self.first)))
        steps = [PlanStep(self.first, self.accuracy(self.first), loaded)]
        for before, after in pairwise(way):
            loaded += self.cost(before, after)
            steps.append(PlanStep(after, self.accuracy(after), loaded))
        lost = sum(self.shortfall(before, after) for before, after in pairwise(way))
        width = self._width()
        mean = self.accuracy(self.last) - (lost / width if width else 0.0)
        worst = max((self.fall(before, after) for before, after in pairwise(way)), default=0.0)
        return OrderPlan(tuple(order), tuple(steps), mean, worst, exact)

    def _width(self) -> float:
        """The most that any order loads on its way: all teacher groups and the larger converter at each boundary."""
        total = sum(self._cost(group.teacher) for group in self._manifest.groups)
        for boundary in self._manifest.boundaries:
            if boundary.encoder is not None and boundary.decoder is not None:
                total += max(self._cost(boundary.encoder), self._cost(boundary.decoder))
        return total


def _next_mixes(mix: Mix) -> Iterator[tuple[int, Mix]]:
    return ((group, mix.with_teacher(group)) for group, side in enumerate(mix) if side == STUDENT)


def _best_order(ledger: Ledger, tolerance: float) -> tuple[int, ...]:
    """Backwards over all mixes, twice: first the smallest worst fall, then the smallest shortfall among those."""
    # Binary order has every mix before those with one teacher group more.
    backwards = mixes.all_mixes(ledger.num_groups)[::-1]
    worst = {ledger.last: 0.0}
    for mix in backwards[1:]:
        worst[mix] = min(max(ledger.fall(mix, after), worst[after]) for _, after in _next_mixes(mix))
    limit = max(tolerance, worst[ledger.first]) + _ROUNDING
    # Shortfall and order from each mix on; of equal ones the order that comes first, so that ties end alike.
    best: dict[Mix, tuple[float, tuple[int, ...]]] = {ledger.last: (0.0, ())}
    for mix in backwards[1:]:
        ways = [
            (ledger.shortfall(mix, after) + best[after][0], (group, *best[after][1]))
            for group, after in _next_mixes(mix)
            if after in best and ledger.fall(mix, after) <= limit
        ]
        if ways:
            best[mix] = min(ways)
    return best[ledger.first][1]


def _greedy_order(ledger: Ledger, tolerance: float) -> tuple[int, ...]:
    """Step by step the group that gains most per byte among those that do not fall, else the one that falls least."""
    mix, order = ledger.first, []
    while STUDENT in mix:
        steps = list(_next_mixes(mix))
        ledger.measure([after for _, after in steps])
        now = mix
        group, mix = min(
            steps,
            key=lambda step: (
                max(ledger.fall(now, step[1]), tolerance + _ROUNDING),
                (ledger.accuracy(now) - ledger.accuracy(step[1])) / max(ledger.cost(now, step[1]), 1e-12),
                step[0],
            ),
        )
        order.append(group)
    return tuple(order)
