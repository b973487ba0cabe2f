"""Where any functional model can be cut: the tensors that every path from the input to the output goes through.

In topological order such a tensor is, the moment after its layer ran, the only value that a later layer still reads.
Nested models are opened, so that a backbone wrapped as one layer can be cut too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import keras

from tfpwl.errors import ModelError
from tfpwl.models.calls import Call, FlatModel, Value, flatten_model


@dataclass(frozen=True)
class CutPoint:
    """A legal place to cut: after ``layer``.

    Attributes:
        layer: name of the layer whose output is the boundary (``outer/inner`` in a nested model).
        position: index of its call in the flat model.
        shape: of the boundary, without the batch axis.
        bytes_before: weights of all layers up to here.
        folds: a BatchNorm follows, which conversion folds into this layer; a cut here would cost an operator, so only
            a cut by name is made here.
    """

    layer: str
    position: int
    shape: tuple[int | None, ...]
    bytes_before: int
    folds: bool


def find_cut_points(model: keras.Model) -> tuple[CutPoint, ...]:
    """Every legal cut point of ``model``, first to last.

    Not among them: tensors that carry a Keras mask or are no floats, and places where a layer with weights is called
    on both sides.

    Raises:
        ModelError: the model cannot be read, or has several inputs or outputs.

    Example:
        >>> inputs = keras.Input((4,))
        >>> x = keras.layers.Dense(3, name="a")(inputs)
        >>> model = keras.Model(inputs, keras.layers.Dense(2, name="b")(x))
        >>> [point.layer for point in find_cut_points(model)]
        ['a']
    """
    return points_of(single_path(model))


def single_path(model: keras.Model) -> FlatModel:
    """The calls of a model that is a chain from one input to one output.

    Raises:
        ModelError: it cannot be read, or has several inputs or outputs.
    """
    flat = flatten_model(model)
    if len(flat.inputs) != 1 or len(flat.outputs) != 1:
        raise ModelError(
            f"Model {model.name!r} has {len(flat.inputs)} inputs and {len(flat.outputs)} outputs; only a model with "
            "one of each can be cut into a chain of groups."
        )
    return flat


def points_of(flat: FlatModel) -> tuple[CutPoint, ...]:
    """As :func:`find_cut_points`, for a model that was flattened already."""
    alive = list(alive_after(flat))
    spans = shared_spans(flat)
    sizes = bytes_by_call(flat.calls)
    points, seen, masked = [], 0, False
    for position, call in enumerate(flat.calls[:-1]):
        seen += sizes[position]
        masked = masked or _makes_mask(call)
        if call.outputs == call.inputs or masked or any(first <= position < last for first, last in spans):
            continue
        if len(call.outputs) == 1 and alive[position] == {call.outputs[0]} and len(call.outputs[0].shape) > 1:
            value = call.outputs[0]
            if value.dtype.startswith(("float", "bfloat")):
                points.append(
                    CutPoint(call.name, position, value.shape[1:], seen, _folds(call, flat.calls[position + 1]))
                )
    return tuple(points)


def _folds(call: Call, following: Call) -> bool:
    # After a cut point the next call reads it, whatever else does.
    follows = isinstance(following.operation, keras.layers.BatchNormalization)
    return follows and getattr(call.operation, "kernel", getattr(call.operation, "pointwise_kernel", None)) is not None


def _makes_mask(call: Call) -> bool:
    return isinstance(call.operation, keras.layers.Masking) or bool(getattr(call.operation, "mask_zero", False))


def alive_after(flat: FlatModel) -> Iterator[set[Value]]:
    """After each call, the values that something later still reads."""
    last_read = {value: position for position, call in enumerate(flat.calls) for value in call.inputs}
    last_read.update((value, len(flat.calls)) for value in flat.outputs)
    dying: dict[int, list[Value]] = {}
    for value, position in last_read.items():
        dying.setdefault(position, []).append(value)
    alive = {value for value in flat.inputs if value in last_read}
    for position, call in enumerate(flat.calls):
        alive.update(value for value in call.outputs if last_read.get(value, -1) > position)
        alive.difference_update(dying.get(position, ()))
        yield set(alive)


def shared_spans(flat: FlatModel) -> list[tuple[int, int]]:
    """First and last call of layers with weights that are called more than once."""
    calls: dict[tuple[str, ...], list[int]] = {}
    for position, call in enumerate(flat.calls):
        if getattr(call.operation, "weights", None):
            calls.setdefault(call.path, []).append(position)
    return [(places[0], places[-1]) for places in calls.values() if len(places) > 1]


def bytes_by_call(calls: Sequence[Call]) -> list[int]:
    """Bytes of weights that each call is the first to use."""
    sizes, counted = [], set()
    for call in calls:
        first = call.path not in counted
        counted.add(call.path)
        weights = getattr(call.operation, "weights", ()) if first else ()
        sizes.append(sum(_bytes(weight) for weight in weights))
    return sizes


def _bytes(weight: keras.Variable) -> int:
    itemsize = {"float16": 2, "bfloat16": 2, "float64": 8, "int64": 8, "int8": 1, "uint8": 1}.get(str(weight.dtype), 4)
    return math.prod(weight.shape) * itemsize
