"""Which channels go: the smallest threshold over all importances that meets a target; no model is built for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import keras
import numpy as np
import numpy.typing as npt

from tfpwl.errors import ModelError
from tfpwl.prune.cost import channels_kept, check_counted, flops_kept, params_kept
from tfpwl.prune.graph import ChannelGroup, DependencyGraph, Keep, build_graph
from tfpwl.prune.importance import Calibration, Score, score_slices
from tfpwl.prune.trace import Closed

Cost = Callable[[DependencyGraph, Keep], int]
COSTS: Mapping[str, Cost] = MappingProxyType({"flops": flops_kept, "params": params_kept, "channels": channels_kept})
_GIVE_BACK_TRIES = 16  # a fixed number, so that the time stays linear in the number of layers
RANKINGS = ("global", "layer")


@dataclass(frozen=True)
class GroupReport:
    """One group of channels that go together: its layers, and its slices before and after."""

    layers: tuple[str, ...]
    width: int
    before: int
    after: int


@dataclass(frozen=True)
class PruneReport:
    """What pruning does to a model.

    Attributes:
        target: ``flops``, ``params`` or ``channels``.
        ratio: the share of it that was to go.
        flops_before, flops_after: of one example; ``None`` where a size is not fixed.
        params_before, params_after: weights, moving statistics included.
        groups: channels that go together.
        closed: layers whose channels stay, with the reason.
        kept: the output channels that stay, by the name of the layer that makes them (heads under ``name:heads``).
    """

    target: str
    ratio: float
    flops_before: int | None
    flops_after: int | None
    params_before: int
    params_after: int
    groups: tuple[GroupReport, ...]
    closed: tuple[Closed, ...]
    kept: Mapping[str, tuple[int, ...]]

    def removed(self, layer: str, size: int) -> tuple[int, ...]:
        """The output channels of ``layer``, which has ``size`` of them, that go."""
        return tuple(sorted(set(range(size)) - set(self.kept[layer])))


@dataclass(frozen=True)
class PrunePlan:
    """What stays of a model; :func:`tfpwl.prune.carve` builds it."""

    graph: DependencyGraph
    keep: Keep
    report: PruneReport


def plan_pruning(
    model: keras.Model,
    ratio: float = 0.5,
    importance: str | Score = "l2",
    *,
    target: str = "flops",
    ranking: str = "global",
    round_to: int = 8,
    keep: Sequence[str] = (),
    max_layer_ratio: float = 0.9,
    calibration: Calibration | None = None,
    seed: int = 0,
) -> PrunePlan:
    """Choose the channels to remove from ``model``; nothing is built or changed.

    Args:
        model: a functional Keras 3 model.
        ratio: share of the target that has to go, 0 (nothing) up to, not including, 1. The plan removes at least this
            share and, because of rounding, sometimes a little more.
        importance: ``l1``, ``l2``, ``bn_scale``, ``taylor``, ``random``, or a function of a weight and an axis.
        target: what the ratio is of: ``flops``, ``params``, or ``channels`` (of those that may go).
        ranking: ``global`` compares channels of all layers; ``layer`` takes the same share of each.
        round_to: channel counts that change become multiples of it. A layer that has fewer keeps all.
        keep: names of layers whose output channels stay, such as those before a boundary.
        max_layer_ratio: the largest share of one layer's channels that goes, whatever their importance.
        calibration: data and loss for ``taylor``.
        seed: of ``random``.

    Raises:
        ModelError: an argument is out of range, the model cannot be read, or the target is out of reach.

    Example:
        >>> inputs = keras.Input((8, 8, 3))
        >>> x = keras.layers.Conv2D(16, 3, name="a")(inputs)
        >>> x = keras.layers.Conv2D(32, 3, name="b")(x)
        >>> x = keras.layers.GlobalAveragePooling2D()(x)
        >>> model = keras.Model(inputs, keras.layers.Dense(10)(x))
        >>> plan = plan_pruning(model, 0.5, target="channels", ranking="layer")
        >>> [(group.layers, group.before, group.after) for group in plan.report.groups]
        [(('a',), 16, 8), (('b',), 32, 16)]
    """
    _check_arguments(ratio, target, ranking, round_to, max_layer_ratio)
    graph = build_graph(model, keep)
    if target == "flops":
        check_counted(graph)
    chosen = graph.keep_all()
    if ratio > 0:
        scores = score_slices(graph, importance, model=model, calibration=calibration, seed=seed)
        ranks = {"global": _as_is, "layer": _by_place}[ranking]
        ranked = [ranks(scores[group.roots]) for group in graph.groups]
        chosen = _meet(graph, ranked, ratio=ratio, target=target, round_to=round_to, max_layer_ratio=max_layer_ratio)
    return PrunePlan(graph, chosen, _report(graph, chosen, target, ratio))


def _check_arguments(ratio: float, target: str, ranking: str, round_to: int, max_layer_ratio: float) -> None:
    if not 0 <= ratio < 1:
        raise ModelError(
            f"Received ratio {ratio!r}; expected 0 (a copy) up to, not including, 1: the share of the "
            f"{target} to remove."
        )
    if target not in COSTS:
        raise ModelError(f"Unknown target {target!r}; expected one of {', '.join(COSTS)}.")
    if ranking not in RANKINGS:
        raise ModelError(f"Unknown ranking {ranking!r}; expected one of {', '.join(RANKINGS)}.")
    if isinstance(round_to, bool) or not isinstance(round_to, int) or round_to < 1:
        raise ModelError(f"Received round_to {round_to!r}; expected a whole number of at least 1.")
    if not 0 < max_layer_ratio <= 1:
        raise ModelError(f"Received max_layer_ratio {max_layer_ratio!r}; expected more than 0 and at most 1.")


def _as_is(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return scores


def _by_place(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The share of the group's slices that matter less, so that one threshold cuts the same share of every layer."""
    places = np.empty(len(scores))
    places[np.argsort(scores, kind="stable")] = (np.arange(len(scores)) + 0.5) / len(scores)
    return places


def _meet(
    graph: DependencyGraph,
    ranked: list[npt.NDArray[np.float64]],
    *,
    ratio: float,
    target: str,
    round_to: int,
    max_layer_ratio: float,
) -> Keep:
    cost = COSTS[target]
    before = cost(graph, graph.keep_all())
    allowed = (1 - ratio) * before
    orders = [np.argsort(-values, kind="stable") for values in ranked]
    least = [_least(group, round_to, max_layer_ratio) for group in graph.groups]

    def keep_above(threshold: float) -> Keep:
        removed = [np.zeros(0, np.int64)]
        for group, values, order, floor in zip(graph.groups, ranked, orders, least, strict=True):
            count = _rounded(int((values >= threshold).sum()), group, round_to, floor)
            removed.append(group.roots[order[count:]])
        return graph.keep(np.concatenate(removed))

    thresholds = np.unique(np.concatenate([*ranked, np.zeros(0)]))
    low, high = 0, len(thresholds)  # thresholds[low - 1] leaves too much, thresholds[high] is enough
    smallest = keep_above(math.inf)
    if cost(graph, smallest) > allowed:
        raise ModelError(_out_of_reach(graph, target, ratio, 1 - cost(graph, smallest) / max(before, 1)))
    while low < high:
        middle = (low + high) // 2
        if cost(graph, keep_above(thresholds[middle])) > allowed:
            low = middle + 1
        else:
            high = middle
    chosen = keep_above(thresholds[low]) if low < len(thresholds) else smallest
    return _give_back(graph, chosen, ranked, orders, fits=lambda keep: cost(graph, keep) <= allowed, round_to=round_to)


def _give_back(
    graph: DependencyGraph,
    keep: Keep,
    ranked: list[npt.NDArray[np.float64]],
    orders: list[npt.NDArray[np.int64]],
    *,
    fits: Callable[[Keep], bool],
    round_to: int,
) -> Keep:
    """Put whole steps back, the most important first, as long as the target is still met.

    With few and coarse steps one threshold can overshoot by far (a LeNet-5 would lose 70 % of its FLOPs instead of 50).
    """
    counts = [int(keep[group.roots].sum()) for group in graph.groups]
    cut = [i for i, group in enumerate(graph.groups) if counts[i] < group.size]
    for i in sorted(cut, key=lambda i: -ranked[i][orders[i][counts[i]]])[:_GIVE_BACK_TRIES]:
        group = graph.groups[i]
        more = keep | np.isin(graph.root, group.roots[orders[i][: counts[i] + group.step(round_to)]])
        if fits(more):
            keep = more
    return keep


def _least(group: ChannelGroup, round_to: int, max_layer_ratio: float) -> int:
    return _rounded(max(1, math.ceil(round(group.size * (1 - max_layer_ratio), 9))), group, round_to, 1)


def _rounded(count: int, group: ChannelGroup, round_to: int, floor: int) -> int:
    """``count`` slices rounded up to whole steps; a group with less than a step keeps all."""
    step = group.step(round_to)
    return min(group.size, max(floor, math.ceil(count / step) * step))


def _out_of_reach(graph: DependencyGraph, target: str, ratio: float, reachable: float) -> str:
    closed = "".join(f" {c.layer}: {c.reason}." for c in graph.closed_layers[:3])
    return (
        f"{100 * ratio:.4g} % of the {target} cannot be removed; at most {100 * reachable:.1f} % can. Lower the ratio, "
        f"or allow more with round_to, max_layer_ratio or fewer kept layers.{' Closed:' + closed if closed else ''}"
    )


def _report(graph: DependencyGraph, keep: Keep, target: str, ratio: float) -> PruneReport:
    everything = graph.keep_all()
    counted = not graph.uncounted
    return PruneReport(
        target=target,
        ratio=ratio,
        flops_before=flops_kept(graph, everything) if counted else None,
        flops_after=flops_kept(graph, keep) if counted else None,
        params_before=params_kept(graph, everything),
        params_after=params_kept(graph, keep),
        groups=tuple(
            GroupReport(group.layers, group.width, group.size, int(keep[group.roots].sum())) for group in graph.groups
        ),
        closed=graph.closed_layers,
        kept={
            block.name: tuple(np.flatnonzero(keep[block.units]).tolist())
            for block in graph.blocks
            if block.name != "input"
        },
    )
