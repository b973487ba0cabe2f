"""Layers that make no channels: they pass their input's on, tie those of several inputs, or rearrange them."""

from __future__ import annotations

import math

import numpy as np

from tfpwl.models.calls import Call, Value
from tfpwl.prune.trace import Trace, Unknown
from tfpwl.prune.units import Map


def positions(value: Value) -> float | None:
    """How many places a tensor has per example, beside its channels; ``None`` when a size is not known."""
    sizes = value.shape[1:-1]
    return None if None in sizes else float(math.prod(size for size in sizes if size is not None))


def scaled(places: float | None, factor: float) -> float | None:
    """``places × factor``, where the places are known."""
    return None if places is None else places * factor


def single(call: Call) -> Value:
    """The only input of a call that takes one."""
    if len(call.inputs) != 1:
        raise Unknown(f"{type(call.operation).__name__} is called with {len(call.inputs)} tensors")
    return call.inputs[0]


def check_channels_last(call: Call) -> None:
    """Channels are on the last axis everywhere in tfpwl, as they are in .tflite files."""
    if getattr(call.operation, "data_format", "channels_last") == "channels_first":
        raise Unknown("data_format is channels_first; expected channels_last")


def keep_channels(trace: Trace, call: Call) -> None:
    """Layers that work on each channel alone."""
    check_channels_last(call)
    trace.give(call.outputs[0], trace.map(single(call)))


def tie_elementwise(trace: Trace, call: Call) -> None:
    """Sums, products and the like of tensors: equal channels are tied, one channel may be spread over many."""
    out, widest = call.outputs[0], call.outputs[0].shape[-1]
    maps = [trace.map(value) for value in call.inputs]
    full = [units for units in maps if len(units) == widest]
    if not full or any(len(units) not in (1, widest) for units in maps):
        raise Unknown("its tensors' channels do not line up")
    for units in maps:
        if len(units) == widest:
            trace.units.unite(units, full[0])
        else:
            trace.shut([units])  # one channel spread over all; it has no partner to go with
    trace.give(out, full[0])


def reshaped(units: Map, before: tuple[int | None, ...], after: tuple[int | None, ...]) -> Map | None:
    """The units of the last axis after a row-major reshape (shapes without batch); ``None`` if places mix channels.

    Example:
        >>> reshaped(np.array([7, 9]), (2, 1, 2), (4,)).tolist()
        [7, 9, 7, 9]
    """
    if before[-1] == after[-1]:
        return units
    if None in before or None in after or not after:
        return None
    rows = np.broadcast_to(units, [size or 1 for size in before]).reshape(-1, after[-1] or 1)
    return np.array(rows[0]) if bool((rows == rows[0]).all()) else None


def reshape(trace: Trace, call: Call) -> None:
    """Flatten and Reshape."""
    check_channels_last(call)
    value, out = single(call), call.outputs[0]
    units = reshaped(trace.map(value), value.shape[1:], out.shape[1:])
    if units is None:
        raise Unknown(f"reshaping {value.shape[1:]} to {out.shape[1:]} mixes channels with places")
    target = getattr(call.operation, "target_shape", None)
    if target is not None and target[-1] != -1:
        trace.size(call, ("target_shape", len(target) - 1), units)
    trace.give(out, units)


def permute(trace: Trace, call: Call) -> None:
    """Permute, where the channels stay last."""
    if call.operation.dims[-1] != len(call.operation.dims):
        raise Unknown("it moves the channels from the last axis")
    keep_channels(trace, call)


def pass_input(trace: Trace, call: Call) -> None:
    """The input layer of a nested model: only its config has a shape to keep right."""
    if call.inputs[0].shape[-1] is not None and len(call.inputs[0].shape) > 1:
        trace.size(call, ("batch_shape", len(call.operation.batch_shape) - 1), trace.map(call.inputs[0]))


def concatenate_layer(trace: Trace, call: Call) -> None:
    """Concatenate."""
    concatenate(trace, call, call.operation.axis)


def concatenate(trace: Trace, call: Call, axis: int) -> None:
    """Join maps on the last axis; on another axis the channels of all inputs are tied."""
    if axis in (-1, len(call.outputs[0].shape) - 1):
        trace.give(call.outputs[0], np.concatenate([trace.map(value) for value in call.inputs]))
    else:
        tie_elementwise(trace, call)
