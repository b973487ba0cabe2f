"""How operations of ``keras.ops`` tie channels: Keras 3 models hold them beside layers (``x * ops.relu6(x + 3)``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from tfpwl.models.calls import Call, Value
from tfpwl.prune.passing_rules import concatenate, reshaped, tie_elementwise
from tfpwl.prune.trace import Kept, Trace, Unknown
from tfpwl.prune.units import Map

Rule = Callable[[Trace, Call], None]

_ELEMENTWISE = [
    "Abs",
    "Absolute",
    "Add",
    "Cast",
    "Ceil",
    "Celu",
    "Clip",
    "Cos",
    "Divide",
    "Elu",
    "Erf",
    "Exp",
    "Expm1",
    "Floor",
    "Gelu",
    "HardShrink",
    "HardSigmoid",
    "HardSilu",
    "HardTanh",
    "Identity",
    "LeakyRelu",
    "Log",
    "Log1p",
    "LogSigmoid",
    "Maximum",
    "Minimum",
    "Mish",
    "Multiply",
    "Negative",
    "Power",
    "Reciprocal",
    "Relu",
    "Relu6",
    "Round",
    "Rsqrt",
    "Selu",
    "Sigmoid",
    "Sign",
    "Silu",
    "Sin",
    "SoftShrink",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Square",
    "Squareplus",
    "StopGradient",
    "Subtract",
    "Tanh",
    "TanhShrink",
    "Threshold",
    "TrueDivide",
]


def _elementwise(trace: Trace, call: Call) -> None:
    for argument in (*call.args, *call.kwargs.values()):
        if not isinstance(argument, (Value, str, type(None))) and np.size(argument) != 1:
            raise Unknown("it takes a constant with several numbers")
    tie_elementwise(trace, call)


def _reduce(trace: Trace, call: Call) -> None:
    value, axis = call.inputs[0], call.operation.axis
    axes = range(len(value.shape)) if axis is None else [axis] if isinstance(axis, int) else axis
    if any(a % len(value.shape) == len(value.shape) - 1 for a in axes):
        raise Unknown("it reduces over the channels")
    trace.give(call.outputs[0], trace.map(value))


def _concatenate(trace: Trace, call: Call) -> None:
    concatenate(trace, call, call.operation.axis)


def _softmax(trace: Trace, call: Call) -> None:
    _reduce(trace, call)  # over another axis than the channels it is as harmless as a sum


def _moves_places(trace: Trace, call: Call) -> None:
    """Operations that may move or make axes as long as the channels stay the last one."""
    value, out = call.inputs[0], call.outputs[0]
    units = reshaped(trace.map(value), value.shape[1:], out.shape[1:])
    target = getattr(call.operation, "newshape", None)
    if units is None or (target is not None and target[-1] != -1 and len(value.shape) != len(out.shape)):
        raise Unknown("it mixes channels with places")
    if target is not None and target[-1] != -1:
        trace.size(call, ("newshape", len(target) - 1), units)
    trace.give(out, units)


def _transpose(trace: Trace, call: Call) -> None:
    axes, rank = call.operation.axes, len(call.inputs[0].shape)
    if axes is None or axes[-1] % rank != rank - 1 or axes[0] != 0:
        raise Unknown("it moves the channels from the last axis")
    trace.give(call.outputs[0], trace.map(call.inputs[0]))


def _expand_or_squeeze(trace: Trace, call: Call) -> None:
    value, out, axis = call.inputs[0], call.outputs[0], call.operation.axis
    rank = max(len(value.shape), len(out.shape))
    axes = [axis] if isinstance(axis, int) else list(axis or ())
    if not axes or any(a % rank in (0, rank - 1) for a in axes):
        raise Unknown("it adds or drops the channel axis")
    trace.give(out, trace.map(value))


def _pad(trace: Trace, call: Call) -> None:
    width = call.operation.pad_width
    if not isinstance(width, (list, tuple)) or tuple(np.ravel(width[-1])) != (0, 0):
        raise Unknown("it pads the channels")
    trace.give(call.outputs[0], trace.map(call.inputs[0]))


def _get_item(trace: Trace, call: Call) -> None:
    value, key = call.args[0], call.args[1] if len(call.args) > 1 else call.kwargs.get("key")
    rank = len(value.shape)
    parts = list(key) if isinstance(key, tuple) else [key]
    if Ellipsis in parts:
        at = parts.index(Ellipsis)
        parts[at : at + 1] = [slice(None)] * (rank - len(parts) + 1)
    if any(not isinstance(part, (slice, int)) for part in parts):
        raise Unknown("it picks elements by something else than numbers and slices")
    units = trace.map(value)
    last = parts[rank - 1] if len(parts) == rank else slice(None)
    if not isinstance(last, slice) or last.step not in (None, 1):
        raise Unknown("it picks channels one by one or with a step")
    trace.give(call.outputs[0], units[last])
    if last != slice(None):
        _edit_slice(trace, call, units, last)


def _edit_slice(trace: Trace, call: Call, units: Map, part: slice) -> None:
    start, stop, _ = part.indices(len(units))

    def edit(data: dict[str, Any], kept: Kept) -> None:
        node = data["inbound_nodes"][call.node_index]
        key = node["args"][1] if len(node["args"]) > 1 else node["kwargs"]["key"]
        last = key[-1] if isinstance(key, (list, tuple)) else key
        last["config"]["start"] = len(kept(units[:start]))
        last["config"]["stop"] = len(kept(units[:stop]))

    trace.record(call).edits.append(edit)


def _split(trace: Trace, call: Call) -> None:
    value, operation = call.inputs[0], call.operation
    units, rank = trace.map(value), len(value.shape)
    if operation.axis % rank != rank - 1:
        for out in call.outputs:
            trace.give(out, units)
        return
    ends = np.cumsum([out.shape[-1] for out in call.outputs])[:-1]
    for out, part in zip(call.outputs, np.split(units, ends), strict=True):
        trace.give(out, part)

    def edit(data: dict[str, Any], kept: Kept) -> None:
        data["config"]["indices_or_sections"] = [len(kept(units[:end])) for end in ends]

    trace.record(call).edits.append(edit)


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        **dict.fromkeys(_ELEMENTWISE, _elementwise),
        **dict.fromkeys(("Amax", "Amin", "Max", "Mean", "Min", "Sum"), _reduce),
        "Concatenate": _concatenate, "Softmax": _softmax, "LogSoftmax": _softmax, "Reshape": _moves_places,
        "Transpose": _transpose, "ExpandDims": _expand_or_squeeze, "Squeeze": _expand_or_squeeze, "Pad": _pad,
        "GetItem": _get_item, "Split": _split,
    }
)  # fmt: skip


def find_operation_rule(operation: Any) -> Rule | None:
    """The rule of an operation of ``keras.ops``, by the name of its class."""
    kind = type(operation)
    return RULES.get(kind.__name__) if kind.__module__.startswith("keras.src.ops.") else None
