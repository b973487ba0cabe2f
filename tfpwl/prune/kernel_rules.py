"""Layers with a kernel: most make channels of their own and read all of their input's."""

from __future__ import annotations

import math

import numpy as np

from tfpwl.models.calls import Call
from tfpwl.prune.passing_rules import check_channels_last, positions, scaled, single
from tfpwl.prune.trace import KERNEL, Trace, Unknown
from tfpwl.prune.units import Map


def dense(trace: Trace, call: Call) -> None:
    """Dense."""
    layer, value = call.operation, single(call)
    units, out = trace.map(value), trace.made(call, "out", layer.units)
    trace.slot(call, layer.kernel, {0: units, 1: out}, KERNEL)
    _bias(trace, call, out)
    trace.size(call, "units", out)
    trace.count(call, positions(value), units, out)
    trace.give(call.outputs[0], out)


def _bias(trace: Trace, call: Call, out: Map) -> None:
    if call.operation.bias is not None:
        trace.slot(call, call.operation.bias, {len(call.operation.bias.shape) - 1: out})


def conv(trace: Trace, call: Call) -> None:
    """Conv1D, 2D and 3D, with or without channel groups."""
    layer, value = call.operation, single(call)
    check_channels_last(call)
    units, out = trace.map(value), trace.made(call, "out", layer.filters)
    rank = len(layer.kernel_size)
    taps = float(math.prod(layer.kernel_size))
    places = positions(call.outputs[0])
    if layer.groups == 1:
        trace.slot(call, layer.kernel, {rank: units, rank + 1: out}, KERNEL)
        trace.count(call, scaled(places, taps), units, out)
    else:
        # Only whole groups go: with them the kernel keeps its input size, and the answer stays exact.
        first = tie_groups(trace, layer.groups, units, out)
        trace.slot(call, layer.kernel, {rank + 1: out}, KERNEL)
        trace.size(call, "groups", first)
        trace.count(call, scaled(places, taps * len(units) / layer.groups), out)
    _bias(trace, call, out)
    trace.size(call, "filters", out)
    trace.give(call.outputs[0], out)


def tie_groups(trace: Trace, groups: int, *maps: Map) -> Map:
    """Tie all units of each channel group; returns one unit per group."""
    first: Map = maps[0].reshape(groups, -1)[:, 0]
    for units in maps:
        rows = units.reshape(groups, -1)
        for column in rows.T:
            trace.units.unite(column, first)
    return first


def conv_transpose(trace: Trace, call: Call) -> None:
    """Transposed convolutions: their kernels have the output channels first."""
    layer, value = call.operation, single(call)
    check_channels_last(call)
    units, out = trace.map(value), trace.made(call, "out", layer.filters)
    rank = len(layer.kernel_size)
    trace.slot(call, layer.kernel, {rank: out, rank + 1: units}, KERNEL)
    _bias(trace, call, out)
    trace.size(call, "filters", out)
    trace.count(call, scaled(positions(value), float(math.prod(layer.kernel_size))), units, out)
    trace.give(call.outputs[0], out)


def depthwise(trace: Trace, call: Call) -> None:
    """Depthwise convolutions follow their input; a multiplier repeats each channel."""
    layer, value = call.operation, single(call)
    check_channels_last(call)
    units = trace.map(value)
    out = np.repeat(units, layer.depth_multiplier)  # channel c makes c*m … c*m + m-1
    trace.slot(call, layer.kernel, {len(layer.kernel_size): units}, KERNEL)
    _bias(trace, call, out)
    trace.count(call, scaled(positions(call.outputs[0]), float(math.prod(layer.kernel_size))), out)
    trace.give(call.outputs[0], out)


def separable(trace: Trace, call: Call) -> None:
    """A depthwise kernel and a pointwise one in one layer."""
    layer, value = call.operation, single(call)
    check_channels_last(call)
    units, out = trace.map(value), trace.made(call, "out", layer.filters)
    spread, rank = np.repeat(units, layer.depth_multiplier), len(layer.kernel_size)
    trace.slot(call, layer.depthwise_kernel, {rank: units}, KERNEL)
    trace.slot(call, layer.pointwise_kernel, {rank: spread, rank + 1: out}, KERNEL)
    _bias(trace, call, out)
    trace.size(call, "filters", out)
    places = positions(call.outputs[0])
    trace.count(call, scaled(places, float(math.prod(layer.kernel_size))), spread)
    trace.count(call, places, spread, out)
    trace.give(call.outputs[0], out)


def einsum_dense(trace: Trace, call: Call) -> None:
    """EinsumDense, where its equation maps the last axis to a new last axis."""
    layer, value = call.operation, single(call)
    left, _, result = layer.equation.replace("...", "").partition("->")
    source, _, kernel = left.partition(",")
    contracted, made = source[-1], result[-1]
    contracts = contracted in kernel and contracted not in result
    makes = made in kernel and made not in source
    fixed = [k for k in kernel if k not in (contracted, made) and k in source]
    if not contracts or not makes or fixed or len(set(kernel)) != len(kernel):
        raise Unknown(f"the equation {layer.equation!r} does not map channels to channels")
    units, out = trace.map(value), trace.made(call, "out", call.outputs[0].shape[-1])
    trace.slot(call, layer.kernel, {kernel.index(contracted): units, kernel.index(made): out}, KERNEL)
    if layer.bias is not None:
        axes = {len(layer.bias.shape) - 1: out} if layer.bias.shape[-1] == len(out) else {}
        trace.slot(call, layer.bias, axes)
    shape = layer.get_config()["output_shape"]
    trace.size(call, "output_shape" if isinstance(shape, int) else ("output_shape", len(shape) - 1), out)
    # The other letters of the kernel, neither of the input nor the channels made, are counted by its size.
    rest = math.prod(layer.kernel.shape) / (len(units) * len(out))
    places = positions(value)
    trace.count(call, scaled(places, float(rest)), units, out)
    trace.give(call.outputs[0], out)


def embedding(trace: Trace, call: Call) -> None:
    """Embedding makes the channels of its table."""
    layer = call.operation
    out = trace.made(call, "out", layer.output_dim)
    trace.slot(call, layer.embeddings, {1: out}, KERNEL)
    trace.size(call, "output_dim", out)
    trace.give(call.outputs[0], out)
