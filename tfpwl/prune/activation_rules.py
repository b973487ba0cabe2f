"""Activations: elementwise ones follow their input, one over all channels closes them."""

from __future__ import annotations

from typing import Any

import keras

from tfpwl.models.calls import Call
from tfpwl.prune.passing_rules import keep_channels
from tfpwl.prune.trace import Trace, Unknown

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


def softmax(trace: Trace, call: Call) -> None:
    """Softmax over places; over channels it is closed."""
    value = call.inputs[0]
    axes = [call.operation.axis] if isinstance(call.operation.axis, int) else list(call.operation.axis)
    if any(axis % len(value.shape) == len(value.shape) - 1 for axis in axes):
        raise Unknown("a softmax over the channels needs them all")
    trace.give(call.outputs[0], trace.map(value))


def activation(trace: Trace, call: Call) -> None:
    """Activation."""
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
