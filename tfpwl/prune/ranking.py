"""The channels of every group in order of importance, and which of them a threshold, a share or a budget leaves."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tfpwl.prune.graph import ChannelGroup, DependencyGraph, Keep
from tfpwl.prune.units import Map

RANKINGS = ("global", "layer")
Scores = npt.NDArray[np.float64]
_GIVE_BACK_TRIES = 16  # a fixed number, so that the time stays linear in the number of layers


@dataclass(frozen=True)
class Ranking:
    """The slices of a graph's groups, ranked.

    Attributes:
        graph: of the model.
        values: one array per group: what its slices are compared by.
        orders: one per group: its slices, the most important first.
        round_to: channel counts that change become multiples of it.
        floors: one per group: how many slices stay whatever their importance.
    """

    graph: DependencyGraph
    values: tuple[Scores, ...]
    orders: tuple[Map, ...]
    round_to: int
    floors: tuple[int, ...]

    def thresholds(self) -> Scores:
        """Every value at which something changes, rising."""
        return np.unique(np.concatenate([*self.values, np.zeros(0)]))

    def keep_above(self, threshold: float) -> Keep:
        """What is at least as important as ``threshold``, in whole steps and not less than the floors."""
        return self._keep([int((values >= threshold).sum()) for values in self.values])

    def keep_share(self, share: float) -> Keep:
        """The same share of every group, rounded up to whole steps."""
        # Rounded before: 0.35 * 40 is 14.000000000000002 in floating point.
        return self._keep([math.ceil(round(share * group.size, 9)) for group in self.graph.groups])

    def keep_least(self) -> Keep:
        """The floors alone."""
        return self._keep([0] * len(self.floors))

    def _keep(self, counts: list[int]) -> Keep:
        removed = [np.zeros(0, np.int64)]
        for group, order, floor, count in zip(self.graph.groups, self.orders, self.floors, counts, strict=True):
            removed.append(group.roots[order[_rounded(count, group, self.round_to, floor) :]])
        return self.graph.keep(np.concatenate(removed))

    def keep_within(self, cost: Callable[[Keep], int], allowed: float) -> Keep | None:
        """By the lowest threshold whose ``cost`` is ``allowed`` at most; ``None`` where even the floors cost more."""
        smallest = self.keep_least()
        if cost(smallest) > allowed:
            return None
        thresholds = self.thresholds()
        low, high = 0, len(thresholds)  # thresholds[low - 1] leaves too much, thresholds[high] is enough
        while low < high:
            middle = (low + high) // 2
            if cost(self.keep_above(thresholds[middle])) > allowed:
                low = middle + 1
            else:
                high = middle
        chosen = self.keep_above(thresholds[low]) if low < len(thresholds) else smallest
        return self._give_back(chosen, lambda keep: cost(keep) <= allowed)

    def _give_back(self, keep: Keep, fits: Callable[[Keep], bool]) -> Keep:
        """Put whole steps back, the most important first, as long as it fits.

        With few and coarse steps one threshold can overshoot by far (a LeNet-5 would lose 70 % of its FLOPs in place
        of 50).
        """
        groups = self.graph.groups
        counts = [int(keep[group.roots].sum()) for group in groups]
        cut = [i for i, group in enumerate(groups) if counts[i] < group.size]
        for i in sorted(cut, key=lambda i: -self.values[i][self.orders[i][counts[i]]])[:_GIVE_BACK_TRIES]:
            wanted = self.orders[i][: counts[i] + groups[i].step(self.round_to)]
            more = keep | np.isin(self.graph.root, groups[i].roots[wanted])
            if fits(more):
                keep = more
        return keep


def rank(
    graph: DependencyGraph, scores: Scores, ranking: str, *, round_to: int, max_layer_ratio: float = 1.0
) -> Ranking:
    """Rank the slices of every group.

    Args:
        graph: of the model.
        scores: of every slice, at the place of its root (:func:`tfpwl.prune.score_slices`).
        ranking: ``global`` compares slices of all groups; ``layer`` takes the same share of each.
        round_to: channel counts that change become multiples of it.
        max_layer_ratio: the largest share of one group that goes.
    """
    compared_by = {"global": _as_is, "layer": _by_place}[ranking]
    values = tuple(compared_by(scores[group.roots]) for group in graph.groups)
    orders = tuple(np.argsort(-one, kind="stable") for one in values)
    floors = tuple(_least(group, round_to, max_layer_ratio) for group in graph.groups)
    return Ranking(graph, values, orders, round_to, floors)


def _as_is(scores: Scores) -> Scores:
    return scores


def _by_place(scores: Scores) -> Scores:
    """The share of the group's slices that matter less, so that one threshold cuts the same share of every layer."""
    places = np.empty(len(scores))
    places[np.argsort(scores, kind="stable")] = (np.arange(len(scores)) + 0.5) / len(scores)
    return places


def _least(group: ChannelGroup, round_to: int, max_layer_ratio: float) -> int:
    return _rounded(max(1, math.ceil(round(group.size * (1 - max_layer_ratio), 9))), group, round_to, 1)


def _rounded(count: int, group: ChannelGroup, round_to: int, floor: int) -> int:
    """``count`` slices rounded up to whole steps; a group with less than a step keeps all."""
    step = group.step(round_to)
    return min(group.size, max(floor, math.ceil(count / step) * step))
