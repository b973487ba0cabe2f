"""Parameters and FLOPs of a model as it would be after pruning, counted from the graph without building it."""

from __future__ import annotations

import math
from collections.abc import Iterator

import keras
import numpy as np

from tfpwl.errors import ModelError
from tfpwl.prune.graph import DependencyGraph, Keep, build_graph
from tfpwl.prune.trace import Record, Slot

FLOPS_PER_MAC = 2  # one multiplication, one addition


def count_flops(model: keras.Model) -> int:
    """FLOPs of one example: two per multiply-add of convolutions, dense layers and attention; the rest is not counted.

    Raises:
        ModelError: the model cannot be read, or a size (other than the batch) is not fixed.

    Example:
        >>> inputs = keras.Input((4,))
        >>> count_flops(keras.Model(inputs, keras.layers.Dense(3)(inputs)))
        24
    """
    graph = build_graph(model)
    return flops_kept(graph, graph.keep_all())


def flops_by_layer(model: keras.Model) -> dict[str, int] | None:
    """FLOPs of one example by layer (of those that multiply); ``None`` where a size is not fixed.

    Raises:
        ModelError: the model cannot be read.
    """
    graph = build_graph(model)
    return None if graph.uncounted else layer_flops(graph, graph.keep_all())


def flops_kept(graph: DependencyGraph, keep: Keep) -> int:
    """FLOPs of one example with only the units of ``keep``.

    Raises:
        ModelError: a layer's input has a size that is not fixed.
    """
    check_counted(graph)
    return sum(layer_flops(graph, keep).values())


def check_counted(graph: DependencyGraph) -> None:
    """Raise :class:`ModelError` when FLOPs cannot be counted."""
    if graph.uncounted:
        raise ModelError(
            f"FLOPs cannot be counted: the input of layer {graph.uncounted[0]!r} has a size that is not fixed. Give "
            "keras.Input every size, or use target='params'."
        )


def layer_flops(graph: DependencyGraph, keep: Keep) -> dict[str, int]:
    """FLOPs by layer, for the layers that multiply."""
    flops: dict[str, int] = {}
    for macs in graph.macs:
        count = macs.factor * math.prod(int(keep[units].sum()) for units in macs.maps)
        flops[macs.layer] = flops.get(macs.layer, 0) + round(FLOPS_PER_MAC * count)
    return flops


def params_kept(graph: DependencyGraph, keep: Keep) -> int:
    """Number of weights, moving statistics included, with only the units of ``keep``."""
    return sum(layer_params(graph, keep).values())


def layer_params(graph: DependencyGraph, keep: Keep) -> dict[str, int]:
    """Number of weights by layer."""
    return {"/".join(record.path): count for record, count in _layer_params(graph, keep)}


def _layer_params(graph: DependencyGraph, keep: Keep) -> Iterator[tuple[Record, int]]:
    for record in graph.records:
        weights = getattr(record.operation, "weights", ())
        slots = {slot.index: slot for slot in record.slots.values()}
        count = sum(
            _slot_size(slots[i], keep) if i in slots else math.prod(weight.shape) for i, weight in enumerate(weights)
        )
        if count:
            yield record, count


def _slot_size(slot: Slot, keep: Keep) -> int:
    sizes = list(slot.variable.shape)
    for axis, units in slot.axes.items():
        sizes[axis] = int(keep[units].sum())
    return math.prod(sizes)


def channels_kept(graph: DependencyGraph, keep: Keep) -> int:
    """Number of channels among those that may go, over all layers (an attention head counts its width)."""
    return sum(int(np.count_nonzero(keep[group.roots])) * sum(group.multiplicities) for group in graph.groups)
