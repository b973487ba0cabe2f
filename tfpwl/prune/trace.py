"""What the rules write down while a model is traced: maps of values, slots of weights, sizes, multiplications.

A rule (see :mod:`tfpwl.prune.layer_rules`) gets a :class:`Trace` and a :class:`~tfpwl.models.calls.Call`. A layer
that is called more than once has one record; its second call is tied to the first, channel by channel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tfpwl.models.calls import Call, Path, Value
from tfpwl.prune.units import Map, Units

UNKNOWN_WEIGHTS = "it has weights that are not known (quantized, LoRA?)"
KERNEL, SCALE, OTHER = "kernel", "scale", "other"

# From a map to the places in it that stay.
Kept = Callable[[Map], "np.ndarray[Any, Any]"]
# Changes the serialized form of a layer (``config``, ``inbound_nodes``) in place.
Edit = Callable[[dict[str, Any], Kept], None]


class Unknown(Exception):
    """Raised by a rule for a setting that it does not know; the call is closed with the message as the reason."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A weight whose axes follow units: ``axes[axis]`` is the map of that axis; the other axes keep their size."""

    layer: str
    variable: Any
    index: int  # in the layer's weights
    axes: dict[int, Map]
    kind: str


@dataclass(frozen=True, slots=True)
class Macs:
    """Multiply-adds of one call: ``factor`` times the number of kept channels of each of ``maps``."""

    layer: str
    factor: float
    maps: tuple[Map, ...]


@dataclass(slots=True)
class Record:
    """What is known of one layer or operation: its slots, what its config has to say, how its nodes change."""

    path: Path
    operation: Any
    blocks: dict[str, Map] = field(default_factory=dict)
    slots: dict[int, Slot] = field(default_factory=dict)
    sizes: dict[tuple[str | int, ...], Map] = field(default_factory=dict)
    edits: list[Edit] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Closed:
    """A layer whose channels stay, and why."""

    layer: str
    reason: str


class Trace:
    """The state of one walk over a model."""

    def __init__(self) -> None:
        self.units = Units()
        self.records: dict[Path, Record] = {}
        self.macs: list[Macs] = []
        self.uncounted: list[str] = []
        self.closed: list[Closed] = []
        self._maps: dict[Value, Map] = {}
        self._shut: set[int] = set()

    def record(self, call: Call) -> Record:
        """The record of the call's layer."""
        return self.records.setdefault(call.path, Record(call.path, call.operation))

    def map(self, value: Value) -> Map:
        """The units of the value's last axis."""
        return self._maps[value]

    def give(self, value: Value, units: Map) -> None:
        """Say what the value's last axis carries."""
        self._maps[value] = units

    def give_fixed(self, value: Value, name: str) -> None:
        """A last axis that nobody may prune (an unknown size counts as one channel)."""
        units = self.units.new(name, (value.shape[-1] or 1) if len(value.shape) > 1 else 1)
        self.shut([units])
        self.give(value, units)

    def made(self, call: Call, what: str, size: int | None, width: int = 1) -> Map:
        """The block of channels that the call's layer makes; the same at each of its calls."""
        if size is None:
            raise Unknown("the number of its channels is not fixed")
        record = self.record(call)
        if what not in record.blocks:
            name = call.name if what == "out" else f"{call.name}:{what}"
            record.blocks[what] = self.units.new(name, size, width)
        return record.blocks[what]

    def slot(self, call: Call, variable: Any, axes: dict[int, Map], kind: str = OTHER) -> None:
        """Say which units the axes of one of the layer's weights follow."""
        record = self.record(call)
        index = next((i for i, weight in enumerate(call.operation.weights) if weight is variable), None)
        if index is None:
            raise Unknown(UNKNOWN_WEIGHTS)
        if index in record.slots:
            for axis, units in axes.items():
                self.units.unite(record.slots[index].axes[axis], units)
        else:
            record.slots[index] = Slot(call.name, variable, index, dict(axes), kind)

    def size(self, call: Call, key: str | tuple[str | int, ...], units: Map) -> None:
        """Say that ``config[key]`` (a path of keys and indices) is the number of kept ``units``."""
        sizes = self.record(call).sizes
        place = (key,) if isinstance(key, str) else key
        if place in sizes:
            self.units.unite(sizes[place], units)
        else:
            sizes[place] = units

    def count(self, call: Call, factor: float | None, *maps: Map) -> None:
        """Count ``factor × Π kept channels`` multiply-adds; ``None`` where a size of the tensor is not known."""
        if factor is None:
            self.uncounted.append(call.name)
        else:
            self.macs.append(Macs(call.name, factor, maps))

    def shut(self, maps: Iterable[Map]) -> bool:
        """Close the units; whether any of them was open until now."""
        opened = False
        for units in maps:
            opened = opened or not self._shut.issuperset(units.tolist())
            self._shut.update(units.tolist())
            self.units.close(units)
        return opened

    def close(self, call: Call, reason: str, maps: Iterable[Map] | None = None) -> None:
        """Close what reaches the call (or ``maps``) and report it, if it was not closed before anyway."""
        if self.shut([self.map(value) for value in call.inputs] if maps is None else maps):
            self.closed.append(Closed(call.name, reason))
