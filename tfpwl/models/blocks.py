"""Residual blocks of any functional model: additions of a tensor and of what was made from it alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tfpwl.models.calls import Call, FlatModel, Value


@dataclass(frozen=True, eq=False)
class ResidualBlock:
    """``output = shortcut + branch(shortcut)``; without the block, ``output`` is ``shortcut``.

    Attributes:
        layer: name of the addition.
        shortcut, output: values of the same shape.
        branch: the calls that make the branch, first to last.
    """

    layer: str
    shortcut: Value
    output: Value
    branch: tuple[Call, ...]


def find_blocks(flat: FlatModel) -> tuple[ResidualBlock, ...]:
    """Every block with an identity shortcut, in order; a projected shortcut changes what it carries, so it is none."""
    maker = {value: call for call in flat.calls for value in call.outputs if value not in call.inputs}
    readers: dict[Value, list[Call]] = {}
    for call in flat.calls:
        for value in call.inputs:
            readers.setdefault(value, []).append(call)
    position = {call: index for index, call in enumerate(flat.calls)}
    found = []
    for call in additions(flat):
        left, right = call.inputs
        for shortcut, end in ((left, right), (right, left)):
            branch = _branch(maker, shortcut, end)
            if branch is not None and _is_closed(branch, readers, call):
                ordered = tuple(sorted(branch, key=position.__getitem__))
                found.append(ResidualBlock(call.name, shortcut, call.outputs[0], ordered))
                break
    return tuple(found)


def additions(flat: FlatModel) -> list[Call]:
    """Additions of two tensors of one shape: the ends of residual blocks, whatever their shortcut."""
    return [
        call
        for call in flat.calls
        if type(call.operation).__name__ == "Add"
        and len(call.inputs) == 2
        and all(value.shape == call.outputs[0].shape for value in call.inputs)
    ]


def _branch(maker: dict[Value, Call], shortcut: Value, end: Value) -> set[Call] | None:
    """The calls between ``shortcut`` and ``end``, if ``end`` is made from ``shortcut`` and from nothing else."""
    calls: set[Call] = set()
    wanted = [end]
    while wanted:
        value = wanted.pop()
        if value is shortcut:
            continue
        call = maker.get(value)
        if call is None or not call.inputs:
            return None  # it comes from the input of the model or from a constant
        if call not in calls:
            calls.add(call)
            wanted.extend(call.inputs)
    return calls or None


def _is_closed(branch: Sequence[Call] | set[Call], readers: dict[Value, list[Call]], end: Call) -> bool:
    inside = {*branch, end}
    return all(reader in inside for call in branch for value in call.outputs for reader in readers.get(value, ()))
