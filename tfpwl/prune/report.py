"""What pruning does to a model, as figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tfpwl.prune.cost import flops_kept, params_kept
from tfpwl.prune.graph import DependencyGraph, Keep
from tfpwl.prune.trace import Closed


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


def describe_plan(graph: DependencyGraph, keep: Keep, target: str, ratio: float) -> PrunePlan:
    """The plan to keep ``keep``, with its figures."""
    everything = graph.keep_all()
    counted = not graph.uncounted
    report = PruneReport(
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
    return PrunePlan(graph, keep, report)
