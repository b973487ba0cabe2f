"""The dependency graph of a functional Keras model: which channels of which layers must be removed together.

Fang et al., *DepGraph: Towards Any Structural Pruning* (arXiv 2301.12900) find groups of layers by the dependencies of
their inputs and outputs. Here the same is done channel by channel: every tensor's last axis carries units (see
:mod:`tfpwl.prune.units`), so concatenations, flattens, slices and channel groups need no index arithmetic of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from tfpwl.errors import ModelError
from tfpwl.models.calls import Call, flatten_model
from tfpwl.prune.activation_rules import check_activation
from tfpwl.prune.layer_rules import find_rule
from tfpwl.prune.operation_rules import find_operation_rule
from tfpwl.prune.trace import UNKNOWN_WEIGHTS, Closed, Macs, Record, Slot, Trace, Unknown
from tfpwl.prune.units import Block, Map

Keep = npt.NDArray[np.bool_]  # over units: which ones stay


@dataclass(frozen=True)
class ChannelGroup:
    """Channels that are ranked against each other: each is one slice of all the group's layers at once.

    Attributes:
        layers: the layers that make the channels.
        roots: one unit per slice; the slice is every unit united with it.
        width: how many channels of the widest layer a slice is (more than 1: attention heads, grouped convolutions).
        multiplicities: how many channels a slice is in each of the layers.
    """

    layers: tuple[str, ...]
    roots: Map
    width: int
    multiplicities: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many slices it has."""
        return len(self.roots)

    def step(self, round_to: int) -> int:
        """The number of slices that adds a multiple of ``round_to`` channels to each of the layers."""
        return math.lcm(*(round_to // math.gcd(round_to, channels) for channels in self.multiplicities))


@dataclass(frozen=True)
class DependencyGraph:
    """What :func:`build_graph` finds.

    Attributes:
        root: unit → the unit that stands for it.
        closed: unit → whether it must stay.
        blocks: the channels that each layer makes.
        groups: the channels that may go.
        records: slots, sizes and edits of each layer, by path.
        macs: the multiply-adds, as products of channel counts.
        uncounted: layers whose multiply-adds depend on a size that is not fixed.
        closed_layers: layers that were not understood, or had to stay, with the reason.
    """

    root: Map
    closed: Keep
    blocks: tuple[Block, ...]
    groups: tuple[ChannelGroup, ...]
    records: tuple[Record, ...]
    macs: tuple[Macs, ...]
    uncounted: tuple[str, ...]
    closed_layers: tuple[Closed, ...]

    @property
    def slots(self) -> Iterator[Slot]:
        """Every weight that follows units."""
        for record in self.records:
            yield from record.slots.values()

    def keep_all(self) -> Keep:
        """Nothing removed."""
        return np.ones(len(self.root), bool)

    def keep(self, removed: Map) -> Keep:
        """What stays when the slices ``removed`` (roots) go."""
        gone = np.zeros(len(self.root), bool)
        gone[removed] = True
        keep: Keep = ~gone[self.root]
        return keep


def build_graph(model: keras.Model, keep: Sequence[str] = ()) -> DependencyGraph:
    """Find which channels of ``model`` go together.

    Args:
        model: a functional (or built sequential) Keras 3 model, nested models included; it is not changed.
        keep: names of layers whose output channels must stay, such as the layers before a boundary. A layer of a
            nested model is ``outer/inner``.

    Raises:
        ModelError: the model is subclassed or holds a ``Lambda``, or a name in ``keep`` is not there.

    Example:
        >>> inputs = keras.Input((8, 8, 3))
        >>> x = keras.layers.Conv2D(16, 3, name="a")(inputs)
        >>> x = keras.layers.GlobalAveragePooling2D()(x)
        >>> graph = build_graph(keras.Model(inputs, keras.layers.Dense(10, name="logits")(x)))
        >>> [(group.layers, group.size) for group in graph.groups]
        [(('a',), 16)]
    """
    flat = flatten_model(model)
    kept = _checked_names(keep, flat.calls)
    trace = Trace()
    for value in flat.inputs:
        trace.give_fixed(value, "input")
    for call in flat.calls:
        _trace_call(trace, call)
        if call.name in kept:
            trace.shut([trace.map(value) for value in call.outputs])
    trace.shut([trace.map(value) for value in flat.outputs])
    _check_weights(trace)
    root, closed = trace.units.resolve()
    # The softmax that ends a model has to stay anyway; to report it would be noise.
    ends = {call.name for call in flat.calls if set(call.outputs) <= set(flat.outputs) and _has_rule(call)}
    return DependencyGraph(
        root=root, closed=closed, blocks=tuple(trace.units.blocks), groups=_groups(trace.units.blocks, root, closed),
        records=tuple(trace.records.values()), macs=tuple(trace.macs), uncounted=tuple(dict.fromkeys(trace.uncounted)),
        closed_layers=tuple(closed for closed in trace.closed if closed.layer not in ends),
    )  # fmt: skip


def _checked_names(names: Sequence[str], calls: Sequence[Call]) -> set[str]:
    there = {call.name for call in calls}
    missing = [name for name in names if name not in there]
    if missing:
        raise ModelError(f"keep: the model has no layer {missing[0]!r}; a layer of a nested model is 'outer/inner'.")
    return set(names)


def _rule(call: Call) -> Callable[[Trace, Call], None] | None:
    layer = isinstance(call.operation, keras.layers.Layer)
    return find_rule(call.operation) if layer else find_operation_rule(call.operation)


def _has_rule(call: Call) -> bool:
    return _rule(call) is not None


def _trace_call(trace: Trace, call: Call) -> None:
    rule = _rule(call)
    try:
        if rule is None:
            raise Unknown(f"{_kind(call.operation)} is not a layer whose channels are known")
        rule(trace, call)
        check_activation(trace, call)
    except Unknown as exc:
        _close_call(trace, call, str(exc))


def _kind(operation: Any) -> str:
    kind = type(operation)
    return kind.__name__ if kind.__module__.startswith("keras.") else f"{kind.__module__}.{kind.__name__}"


def _close_call(trace: Trace, call: Call, reason: str) -> None:
    record = trace.record(call)
    # A rule may have come half way: what it wrote is closed too, and nothing of it is changed by the surgery.
    trace.close(call, reason, [*(trace.map(value) for value in call.inputs), *record.blocks.values()])
    for value in call.outputs:
        if value not in call.inputs:
            trace.give_fixed(value, call.name)


def _check_weights(trace: Trace) -> None:
    """Close layers with weights that their rule did not speak for (quantized layers, LoRA)."""
    for record in trace.records.values():
        weights = getattr(record.operation, "weights", ())
        if record.slots and len(record.slots) != len(weights):
            maps = [*record.blocks.values(), *(units for slot in record.slots.values() for units in slot.axes.values())]
            if trace.shut(maps):
                trace.closed.append(Closed("/".join(record.path), UNKNOWN_WEIGHTS))


def _groups(blocks: Sequence[Block], root: Map, closed: Keep) -> tuple[ChannelGroup, ...]:
    """Slices with the same layers, each as often, are one group; so rounding one count rounds all of them."""
    members: dict[int, list[tuple[int, int]]] = {}
    for index, block in enumerate(blocks):
        units = block.units
        roots, counts = np.unique(root[units[~closed[units]]], return_counts=True)
        for one, count in zip(roots.tolist(), counts.tolist(), strict=True):
            members.setdefault(one, []).append((index, count))
    slices: dict[tuple[tuple[int, int], ...], list[int]] = {}
    for one, signature in members.items():
        slices.setdefault(tuple(signature), []).append(one)
    groups = []
    for members_of, roots_of in slices.items():
        channels = tuple(count * blocks[index].width for index, count in members_of)
        layers = tuple(blocks[index].name for index, _ in members_of)
        groups.append(ChannelGroup(layers, np.array(sorted(roots_of)), max(channels), channels))
    return tuple(groups)
