"""How much memory a loaded file takes, from what stands in it: the engines can be asked only afterwards, if at all.

A loaded group keeps the file's bytes, XNNPACK's packed copy of the weights, the activations that live at the same
time, and the pointers of its convolutions. Measured with LiteRT 2.3 on x86-64 (anonymous memory of a fresh process,
after the first answer) against this sum: the files of the CIFAR ResNet teacher in fp32, fp16, int8 and w8 and a
ResNet-50 of 102 MB within 5 %, but for files below 1 MB, where the fixed part counts (within 0.3 MB).
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator
from ctypes import byref, c_int, c_size_t, c_void_p
from dataclasses import dataclass

import numpy as np

from tfpwl.errors import EngineError, MissingDependencyError
from tfpwl.runtime import litert

# LiteRtOpCode
_CONV_2D = 3
_DEPTHWISE_CONV_2D = 4
_DEQUANTIZE = 6
# Measured: what a compiled file takes beside its weights and tensors, and for each operator of it.
_FIXED_BYTES = 60_000
_OPERATOR_BYTES = 4_000
_POINTER_BYTES = 8


@dataclass(frozen=True, slots=True)
class _Tensor:
    """One tensor of a graph; ``key`` is its address, which says whether two are the same."""

    key: int
    num_bytes: int
    shape: tuple[int, ...]
    is_constant: bool


@dataclass(frozen=True, slots=True)
class _Operator:
    code: int
    inputs: tuple[_Tensor, ...]
    outputs: tuple[_Tensor, ...]


def estimate_bytes(num_bytes: int, precision: str) -> int:
    """What a file of ``num_bytes`` will take, before it was read: itself and its weights, packed.

    Args:
        num_bytes: size of the file.
        precision: the bundle's; fp16 weights are packed as fp32.
    """
    return num_bytes * (3 if precision == "fp16" else 2) + _FIXED_BYTES


def loaded_bytes(content: bytes | memoryview) -> int:
    """What the checked file ``content`` takes when it is loaded, in bytes.

    Where LiteRT's C API cannot be used, twice the file's size.

    Raises:
        EngineError: it is no .tflite file.
    """
    try:
        library = litert.load_library()
    except (EngineError, MissingDependencyError):
        return estimate_bytes(len(content), "fp32")
    array = np.frombuffer(content, np.uint8)
    model = library.create("LiteRtCreateModelFromBuffer", library.environment(), array.ctypes.data, array.size)
    try:
        return len(content) + _engine_bytes(list(_operators(library, model)))
    finally:
        library.destroy("Model", model)


def _engine_bytes(operators: list[_Operator]) -> int:
    """Packed weights, live activations, pointers of convolutions."""
    # What is computed from constants alone (fp16 weights that are widened) is a constant to XNNPACK.
    constant: dict[int, _Tensor] = {}
    packed: dict[int, int] = {}
    computed: list[_Operator] = []
    pointers = 0
    for operator in operators:
        fixed = [tensor for tensor in operator.inputs if tensor.is_constant or tensor.key in constant]
        if operator.code == _DEQUANTIZE and len(fixed) == len(operator.inputs):
            constant.update({tensor.key: tensor for tensor in operator.outputs})
            continue
        computed.append(operator)
        packed.update({tensor.key: tensor.num_bytes for tensor in fixed})
        pointers += _pointer_bytes(operator)
    return (
        sum(packed.values())
        + _peak_bytes(computed, packed.keys())
        + pointers
        + _FIXED_BYTES
        + _OPERATOR_BYTES * len(operators)
    )


def _pointer_bytes(operator: _Operator) -> int:
    """XNNPACK's indirection buffer: one pointer per output position and position of the filter."""
    if operator.code not in (_CONV_2D, _DEPTHWISE_CONV_2D) or len(operator.inputs) < 2:
        return 0
    output, weights = operator.outputs[0].shape, operator.inputs[1].shape
    if len(output) != 4 or len(weights) != 4 or weights[1] * weights[2] == 1:
        return 0
    return output[1] * output[2] * weights[1] * weights[2] * _POINTER_BYTES


def _peak_bytes(operators: list[_Operator], constant: object) -> int:
    """Most bytes of activations that are needed at the same time, and both ends, which have buffers of their own."""
    assert hasattr(constant, "__contains__")
    last_use: dict[int, int] = {}
    for i, operator in enumerate(operators):
        last_use.update({tensor.key: i for tensor in operator.inputs})
    live: dict[int, int] = {}
    ends = peak = 0
    made: set[int] = set()
    for i, operator in enumerate(operators):
        for tensor in operator.inputs:
            if tensor.key not in made and tensor.key not in constant and tensor.key not in live:
                live[tensor.key] = tensor.num_bytes
                ends += tensor.num_bytes
        for tensor in operator.outputs:
            live[tensor.key] = tensor.num_bytes
            made.add(tensor.key)
            ends += 0 if tensor.key in last_use else tensor.num_bytes
        peak = max(peak, sum(live.values()))
        live = {key: size for key, size in live.items() if last_use.get(key, -1) > i}
    return peak + ends


def _operators(library: litert.Library, model: c_void_p) -> Iterator[_Operator]:
    graph = library.create("LiteRtGetModelSubgraph", model, 0)
    seen: dict[int, _Tensor] = {}
    for i in range(library.number("LiteRtGetNumSubgraphOps", graph)):
        operator = library.create("LiteRtGetSubgraphOp", graph, i)
        code = c_int()
        library.call("LiteRtGetOpCode", operator, byref(code))
        inputs, outputs = (tuple(_tensors(library, operator, which, seen)) for which in ("Input", "Output"))
        yield _Operator(code.value, inputs, outputs)


def _tensors(library: litert.Library, operator: c_void_p, which: str, seen: dict[int, _Tensor]) -> Iterator[_Tensor]:
    for i in range(library.number(f"LiteRtGetNumOp{which}s", operator)):
        tensor = c_void_p()
        library.call(f"LiteRtGetOp{which}", operator, i, byref(tensor))
        # None: an optional input that is not there, such as a bias.
        if tensor.value is not None:
            if tensor.value not in seen:
                seen[tensor.value] = _tensor(library, tensor, tensor.value)
            yield seen[tensor.value]


def _tensor(library: litert.Library, tensor: c_void_p, key: int) -> _Tensor:
    weights = library.create("LiteRtGetTensorWeights", tensor)
    address, size = c_void_p(), c_size_t()
    library.call("LiteRtGetWeightsBytes", weights, byref(address), byref(size))
    kind = litert.tensor_type(library, tensor)
    if size.value:
        return _Tensor(key, size.value, kind.shape, True)
    return _Tensor(key, math.prod(kind.shape) * _item_bytes(kind.element_type), kind.shape, False)


def _item_bytes(element_type: int) -> int:
    name = litert.DTYPES.get(element_type)
    return np.dtype(name).itemsize if name else ctypes.sizeof(c_int)
