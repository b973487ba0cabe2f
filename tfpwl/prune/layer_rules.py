"""How each Keras layer ties its channels together: one function per kind of layer, and the table of them.

Layers are looked up by their exact class: a subclass may do anything, so it is unknown. An unknown layer closes every
channel that reaches it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import keras
import numpy as np

from tfpwl.prune.attention_rules import attention, multi_head_attention
from tfpwl.prune.calls import Call, Value
from tfpwl.prune.trace import KERNEL, OTHER, SCALE, Trace, Unknown
from tfpwl.prune.units import Map

Rule = Callable[[Trace, Call], None]

_ELEMENTWISE_NAMES = [
    "celu",
    "elu",
    "exponential",
    "gelu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softplus",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "squareplus",
    "tanh",
    "tanh_shrink",
    "threshold",
]
_ELEMENTWISE = tuple(getattr(keras.activations, n) for n in _ELEMENTWISE_NAMES if hasattr(keras.activations, n))


def is_elementwise(activation: Any) -> bool:
    """Whether an activation works on each element alone (softmax does not, and a function of one's own may not)."""
    return activation is None or any(activation is known for known in _ELEMENTWISE)


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


def _permute(trace: Trace, call: Call) -> None:
    if call.operation.dims[-1] != len(call.operation.dims):
        raise Unknown("it moves the channels from the last axis")
    keep_channels(trace, call)


def _input(trace: Trace, call: Call) -> None:
    # The input layer of a nested model: its value is the outer one, only its config has a shape to keep right.
    if call.inputs[0].shape[-1] is not None and len(call.inputs[0].shape) > 1:
        trace.size(call, ("batch_shape", len(call.operation.batch_shape) - 1), trace.map(call.inputs[0]))


def _concatenate(trace: Trace, call: Call) -> None:
    concatenate(trace, call, call.operation.axis)


def concatenate(trace: Trace, call: Call, axis: int) -> None:
    """Join maps on the last axis; on another axis the channels of all inputs are tied."""
    if axis in (-1, len(call.outputs[0].shape) - 1):
        trace.give(call.outputs[0], np.concatenate([trace.map(value) for value in call.inputs]))
    else:
        tie_elementwise(trace, call)


def _dense(trace: Trace, call: Call) -> None:
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


def _conv(trace: Trace, call: Call) -> None:
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
        first = _tie_groups(trace, layer.groups, units, out)
        trace.slot(call, layer.kernel, {rank + 1: out}, KERNEL)
        trace.size(call, "groups", first)
        trace.count(call, scaled(places, taps * len(units) / layer.groups), out)
    _bias(trace, call, out)
    trace.size(call, "filters", out)
    trace.give(call.outputs[0], out)


def _tie_groups(trace: Trace, groups: int, *maps: Map) -> Map:
    """Tie all units of each channel group; returns one unit per group."""
    first: Map = maps[0].reshape(groups, -1)[:, 0]
    for units in maps:
        rows = units.reshape(groups, -1)
        for column in rows.T:
            trace.units.unite(column, first)
    return first


def _conv_transpose(trace: Trace, call: Call) -> None:
    layer, value = call.operation, single(call)
    check_channels_last(call)
    units, out = trace.map(value), trace.made(call, "out", layer.filters)
    rank = len(layer.kernel_size)
    trace.slot(call, layer.kernel, {rank: out, rank + 1: units}, KERNEL)
    _bias(trace, call, out)
    trace.size(call, "filters", out)
    trace.count(call, scaled(positions(value), float(math.prod(layer.kernel_size))), units, out)
    trace.give(call.outputs[0], out)


def _depthwise(trace: Trace, call: Call) -> None:
    layer, value = call.operation, single(call)
    check_channels_last(call)
    units = trace.map(value)
    out = np.repeat(units, layer.depth_multiplier)  # channel c makes c*m … c*m + m-1
    trace.slot(call, layer.kernel, {len(layer.kernel_size): units}, KERNEL)
    _bias(trace, call, out)
    trace.count(call, scaled(positions(call.outputs[0]), float(math.prod(layer.kernel_size))), out)
    trace.give(call.outputs[0], out)


def _separable(trace: Trace, call: Call) -> None:
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


def _einsum_dense(trace: Trace, call: Call) -> None:
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


def _embedding(trace: Trace, call: Call) -> None:
    layer = call.operation
    out = trace.made(call, "out", layer.output_dim)
    trace.slot(call, layer.embeddings, {1: out}, KERNEL)
    trace.size(call, "output_dim", out)
    trace.give(call.outputs[0], out)


def _batch_normalization(trace: Trace, call: Call) -> None:
    layer, value = call.operation, single(call)
    _check_axis(layer.axis, value)
    for variable, kind in (
        (layer.gamma, SCALE),
        (layer.beta, OTHER),
        (layer.moving_mean, OTHER),
        (layer.moving_variance, OTHER),
    ):
        _vector(trace, call, variable, kind)
    trace.give(call.outputs[0], trace.map(value))


def _vector(trace: Trace, call: Call, variable: Any, kind: str = OTHER) -> None:
    """A weight with one number per input channel, if the layer has it."""
    if variable is not None:
        trace.slot(call, variable, {len(variable.shape) - 1: trace.map(call.inputs[0])}, kind)


def _check_axis(axis: Any, value: Value) -> None:
    axes = [axis] if isinstance(axis, int) else list(axis)
    if [a % len(value.shape) for a in axes] != [len(value.shape) - 1]:
        raise Unknown(f"it normalises axis {axis}; expected the last one")


def _layer_normalization(trace: Trace, call: Call) -> None:
    layer, value = call.operation, single(call)
    _check_axis(layer.axis, value)
    _vector(trace, call, getattr(layer, "gamma", None), SCALE)
    _vector(trace, call, getattr(layer, "beta", None))
    _vector(trace, call, getattr(layer, "scale", None) if type(layer).__name__ == "RMSNormalization" else None, SCALE)
    trace.give(call.outputs[0], trace.map(value))


def _group_normalization(trace: Trace, call: Call) -> None:
    layer, value = call.operation, single(call)
    _check_axis(layer.axis, value)
    units = trace.map(value)
    if layer.groups > 1:
        first = _tie_groups(trace, layer.groups, units)
        if layer.get_config()["groups"] != -1:
            trace.size(call, "groups", first)
    _vector(trace, call, layer.gamma, SCALE)
    _vector(trace, call, layer.beta)
    trace.give(call.outputs[0], units)


def _prelu(trace: Trace, call: Call) -> None:
    _vector(trace, call, call.operation.alpha)
    trace.give(call.outputs[0], trace.map(single(call)))


def _layer_scale(trace: Trace, call: Call) -> None:
    _vector(trace, call, call.operation.gamma, SCALE)
    trace.size(call, "projection_dim", trace.map(call.inputs[0]))
    trace.give(call.outputs[0], trace.map(single(call)))


def _softmax(trace: Trace, call: Call) -> None:
    value = call.inputs[0]
    axes = [call.operation.axis] if isinstance(call.operation.axis, int) else list(call.operation.axis)
    if any(axis % len(value.shape) == len(value.shape) - 1 for axis in axes):
        raise Unknown("a softmax over the channels needs them all")
    trace.give(call.outputs[0], trace.map(value))


def _rescaling(trace: Trace, call: Call) -> None:
    if any(np.size(number) != 1 for number in (call.operation.scale, call.operation.offset)):
        raise Unknown("it has a scale or offset for each channel in its config")
    keep_channels(trace, call)


def _activation(trace: Trace, call: Call) -> None:
    if not is_elementwise(call.operation.activation):
        raise Unknown(f"its activation {_name(call.operation.activation)} is not known to work element by element")
    keep_channels(trace, call)


def _name(function: Any) -> str:
    return getattr(function, "__name__", type(function).__name__)


def check_activation(trace: Trace, call: Call) -> None:
    """Close the outputs of a layer that ends in an activation over all channels (``Dense(activation="softmax")``)."""
    activation = getattr(call.operation, "activation", None)
    if not is_elementwise(activation):
        reason = f"its activation {_name(activation)} is not known to work element by element"
        trace.close(call, reason, [trace.map(value) for value in call.outputs])


L = keras.layers
_DIMENSIONS = ("1D", "2D", "3D")


def _of(pattern: str) -> list[Any]:
    return [getattr(L, pattern.format(d)) for d in _DIMENSIONS if hasattr(L, pattern.format(d))]


def _table() -> Mapping[Any, Rule]:
    rules: dict[Any, Rule] = {
        L.InputLayer: _input, L.Dense: _dense, L.EinsumDense: _einsum_dense, L.Embedding: _embedding,
        L.BatchNormalization: _batch_normalization, L.LayerNormalization: _layer_normalization,
        L.GroupNormalization: _group_normalization, L.MultiHeadAttention: multi_head_attention,
        L.Attention: attention, L.PReLU: _prelu, L.Softmax: _softmax, L.Rescaling: _rescaling,
        L.Activation: _activation, L.Concatenate: _concatenate, L.Flatten: reshape, L.Reshape: reshape,
        L.Permute: _permute,
        # Layers of keras.applications, which Keras itself loads by these paths.
        "keras.src.applications.convnext.LayerScale": _layer_scale,
        "keras.src.applications.convnext.StochasticDepth": keep_channels,
        "keras.src.applications.inception_resnet_v2.CustomScaleLayer": tie_elementwise,
    }  # fmt: skip
    if hasattr(L, "RMSNormalization"):
        rules[L.RMSNormalization] = _layer_normalization
    by_rule: list[tuple[Rule, list[Any]]] = [
        (_conv, _of("Conv{}")), (_conv_transpose, _of("Conv{}Transpose")), (_depthwise, _of("DepthwiseConv{}")),
        (_separable, _of("SeparableConv{}")),
        (tie_elementwise, [L.Add, L.Subtract, L.Multiply, L.Average, L.Maximum, L.Minimum]),
        (keep_channels, [
            L.ReLU, L.LeakyReLU, L.ELU, L.Identity, L.Dropout, L.GaussianNoise, L.GaussianDropout, L.AlphaDropout,
            L.ActivityRegularization, L.RepeatVector, *_of("SpatialDropout{}"), *_of("MaxPooling{}"),
            *_of("AveragePooling{}"), *_of("GlobalMaxPooling{}"), *_of("GlobalAveragePooling{}"),
            *_of("AdaptiveAveragePooling{}"), *_of("AdaptiveMaxPooling{}"), *_of("ZeroPadding{}"),
            *_of("Cropping{}"), *_of("UpSampling{}"),
        ]),
    ]  # fmt: skip
    for rule, kinds in by_rule:
        rules.update(dict.fromkeys(kinds, rule))
    return MappingProxyType(rules)


RULES = _table()


def find_rule(layer: Any) -> Rule | None:
    """The rule of a layer's exact class, or ``None``."""
    kind = type(layer)
    return RULES.get(kind) or RULES.get(f"{kind.__module__}.{kind.__qualname__}")
