"""One side of a pair, its groups one after another, as one model to plan on, and back as groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np

from tfpwl.errors import ModelError
from tfpwl.models.calls import check_functional
from tfpwl.pairs import compose
from tfpwl.prune.cost import flops_by_layer
from tfpwl.prune.report import PrunePlan
from tfpwl.prune.surgery import carve
from tfpwl.prune.units import Map

Groups = tuple[keras.Model, ...]


@dataclass(frozen=True)
class CarvedSide:
    """Smaller groups, and at each boundary the places of the channels that stayed, among those before."""

    groups: Groups
    kept: tuple[Map, ...]


@dataclass(frozen=True)
class SideSize:
    """FLOPs of one example (``None`` where a size is not fixed) and weights of one side."""

    flops: int | None
    params: int


def report_sizes(groups: Sequence[keras.Model]) -> SideSize:
    """How large the groups are together."""
    joined = join_groups(groups)
    flops = flops_by_layer(joined)
    return SideSize(None if flops is None else sum(flops.values()), joined.count_params())


def join_groups(groups: Sequence[keras.Model]) -> keras.Model:
    """The groups as one model, each nested in it under its name.

    Raises:
        ModelError: there are none, one cannot be read or has several inputs or outputs, or two have one name.
    """
    if not groups:
        raise ModelError("Received no groups; expected one model or more, first to last.")
    for group in groups:
        check_functional(group)
        if len(group.inputs) != 1 or len(group.outputs) != 1:
            raise ModelError(
                f"Group {group.name!r} has {len(group.inputs)} inputs and {len(group.outputs)} outputs; expected one "
                "of each."
            )
    names = [group.name for group in groups]
    if len(set(names)) != len(names):
        raise ModelError(f"Received groups named {', '.join(names)}; expected a name of its own for each.")
    return compose(groups, "side")


def boundary_layers(groups: Sequence[keras.Model], boundaries: Sequence[int]) -> list[str]:
    """Names, in the joined model, that ``keep=`` takes to hold the channels of these boundaries."""
    return ["/".join(_entry(groups[index + 1])) for index in boundaries]


def _entry(group: keras.Model) -> tuple[str, str]:
    return group.name, group.inputs[0]._keras_history.operation.name


def carve_side(groups: Sequence[keras.Model], joined: keras.Model, plan: PrunePlan) -> CarvedSide:
    """New groups with only the channels that ``plan``, made for ``joined``, keeps."""
    smaller = carve(joined, plan)
    records = {record.path: record for record in plan.graph.records}
    kept = []
    for group in groups[1:]:
        (units,) = records[_entry(group)].sizes.values()  # of an input layer: the last size of its shape
        kept.append(np.flatnonzero(plan.keep[units]))
    return CarvedSide(tuple(smaller.get_layer(group.name) for group in groups), tuple(kept))
