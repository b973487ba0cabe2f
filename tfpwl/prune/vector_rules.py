"""Layers with one number per channel: normalizations, scales and slopes, which follow their input."""

from __future__ import annotations

from typing import Any

from tfpwl.models.calls import Call, Value
from tfpwl.prune.kernel_rules import tie_groups
from tfpwl.prune.passing_rules import single
from tfpwl.prune.trace import OTHER, SCALE, Trace, Unknown


def batch_normalization(trace: Trace, call: Call) -> None:
    """BatchNormalization over the last axis."""
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


def layer_normalization(trace: Trace, call: Call) -> None:
    """LayerNormalization and RMSNormalization: the channels go from the statistics too."""
    layer, value = call.operation, single(call)
    _check_axis(layer.axis, value)
    _vector(trace, call, getattr(layer, "gamma", None), SCALE)
    _vector(trace, call, getattr(layer, "beta", None))
    _vector(trace, call, getattr(layer, "scale", None) if type(layer).__name__ == "RMSNormalization" else None, SCALE)
    trace.give(call.outputs[0], trace.map(value))


def group_normalization(trace: Trace, call: Call) -> None:
    """GroupNormalization: whole groups go, so that the others keep their statistics."""
    layer, value = call.operation, single(call)
    _check_axis(layer.axis, value)
    units = trace.map(value)
    if layer.groups > 1:
        first = tie_groups(trace, layer.groups, units)
        if layer.get_config()["groups"] != -1:
            trace.size(call, "groups", first)
    _vector(trace, call, layer.gamma, SCALE)
    _vector(trace, call, layer.beta)
    trace.give(call.outputs[0], units)


def prelu(trace: Trace, call: Call) -> None:
    """PReLU with a slope per channel."""
    _vector(trace, call, call.operation.alpha)
    trace.give(call.outputs[0], trace.map(single(call)))


def layer_scale(trace: Trace, call: Call) -> None:
    """The LayerScale of keras.applications' ConvNeXt."""
    _vector(trace, call, call.operation.gamma, SCALE)
    trace.size(call, "projection_dim", trace.map(call.inputs[0]))
    trace.give(call.outputs[0], trace.map(single(call)))
