"""Running a flat model call by call, on symbolic tensors or on data, with parts of it left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from tfpwl.models.calls import Call, Value

Find = Callable[[Value], Any]  # from a value to its tensor
Bypass = Mapping[Value, Value]  # values that get the tensor of an earlier value of the same shape


def call_with(operation: Any, call: Call, find: Find) -> Any:
    """Call ``operation``, the call's own or a copy of it, on the tensors of the call's values."""

    def tensors(argument: Any) -> Any:
        if isinstance(argument, Value):
            return find(argument)
        if isinstance(argument, (tuple, list)):
            return type(argument)(tensors(item) for item in argument)
        if isinstance(argument, dict):
            return {key: tensors(item) for key, item in argument.items()}
        return argument

    return operation(*tensors(call.args), **tensors(call.kwargs))


def call_own(call: Call, find: Find) -> Any:
    """Call the model's own operation."""
    return call_with(call.operation, call, find)


def run_calls(
    calls: Sequence[Call],
    entry: Value,
    x: Any,
    output: Value,
    *,
    apply: Callable[[Call, Find], Any] = call_own,
    bypass: Bypass | None = None,
) -> Any:
    """The tensor of ``output`` when ``x`` is that of ``entry``; a tensor is let go after its last reader.

    Args:
        calls: in topological order.
        entry: the one value that they start from.
        x: symbolic or data.
        output: the value that is wanted.
        apply: runs one call.
        bypass: see :data:`Bypass`; calls that nobody needs then do not run.
    """
    sources = bypass or {}
    needed = needed_calls(calls, output, sources)
    last = {_resolve(value, sources): index for index, call in enumerate(needed) for value in call.inputs}
    last[_resolve(output, sources)] = len(needed)
    tensors = {entry: x}

    def find(value: Value) -> Any:
        return tensors[_resolve(value, sources)]

    for index, call in enumerate(needed):
        if call.outputs != call.inputs:
            tensors.update(zip(call.outputs, keras.tree.flatten(apply(call, find)), strict=True))
        for value in [value for value in tensors if last.get(value, -1) <= index]:
            del tensors[value]
    return find(output)


def needed_calls(calls: Sequence[Call], output: Value, bypass: Bypass) -> list[Call]:
    """Those of ``calls`` on which ``output`` depends, in their order."""
    wanted, needed = {_resolve(output, bypass)}, []
    for call in reversed(calls):
        if not wanted.isdisjoint(call.outputs):
            needed.append(call)
            wanted.update(_resolve(value, bypass) for value in call.inputs)
    return needed[::-1]


def _resolve(value: Value, bypass: Bypass) -> Value:
    while value in bypass:
        value = bypass[value]
    return value
