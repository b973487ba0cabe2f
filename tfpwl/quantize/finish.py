"""What a quantized file still needs: the runtime it asks for, aligned weights, and no bytes that nobody reads.

litert-quantizer leaves four things as it found them or worse, seen with 0.11:

- ``min_runtime_version`` stays that of the float file (1.5.0), although the integer kernels are younger. Contract 8 of
  the bundle rests on it.
- Each channel's zero point takes 8 bytes, always 0 for weights, again in every tensor, and tensor names are as long as
  their Keras layers' together: 33 of 61 kB above a quarter of the float files on the digits ResNet pair (14 files).
- Buffers are not aligned, so that a file mapped into memory has integers at odd addresses.
- Files from some 250 kB on carry their weights behind the flatbuffer (made for models above 2 GB), which runtimes
  before that form do not find.
"""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np

from tfpwl.bundle.version import OLDEST, parse_version

_VERSION_KEY = b"min_runtime_version"
_VERSION_BYTES = 16
_ALIGNMENT = 16  # what the schema asks of a buffer's data
_IDENTIFIER = b"TFL3"
_FLOAT32, _FLOAT16, _INT8 = 0, 1, 9  # schema TensorType

# TFLite versions from TensorFlow's table of operator versions (lite/tools/versioning). Integer kernels of the operators
# named here are as old as 1.15; of operators that are not, at most as young as the runtime this was tested with first.
_OLD_INTEGER_OPERATORS = frozenset(
    {"ADD", "AVERAGE_POOL_2D", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "DEQUANTIZE", "FULLY_CONNECTED",
     "LOGISTIC", "MAX_POOL_2D", "MEAN", "MUL", "PAD", "PADV2", "QUANTIZE", "RELU", "RESHAPE", "SLICE", "SOFTMAX",
     "SPLIT", "STRIDED_SLICE", "SUB", "TANH", "TRANSPOSE"}
)  # fmt: skip
_INTEGER, _YOUNG_INTEGER = "1.15.0", "2.16.0"
_HALF_WEIGHTS = "1.15.0"
# One scale per channel: dense layers learnt it late. TensorFlow's table has no version for the integer kernel that does
# it; 2.16 is a cautious guess, the oldest runtime that the project builds against.
_PER_CHANNEL = {"CONV_2D": "2.4.0", "DEPTHWISE_CONV_2D": "2.3.0", "FULLY_CONNECTED": "2.17.0"}
_PER_CHANNEL_INTEGER = {"FULLY_CONNECTED": "2.16.0"}


def finish(model: bytes) -> bytes:
    """A quantized file, smaller and with the right ``min_runtime_version``; it computes the same.

    Args:
        model: what litert-quantizer made.

    Example:
        >>> len(finish(quantized)) < len(quantized)                                # doctest: +SKIP
        True
    """
    from ai_edge_litert import schema_py_generated as schema  # noqa: PLC0415

    root = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(model, 0))
    _take_in(root, model)
    _set_version(root, _needed_version(root, schema))
    for graph in root.subgraphs:
        for index, tensor in enumerate(graph.tensors):
            tensor.name = b"%d" % index
    builder = _SharingBuilder(len(model))
    builder.Finish(root.Pack(builder), _IDENTIFIER)
    return bytes(builder.Output())


class _SharingBuilder(flatbuffers.Builder):
    """Writes equal vectors of numbers once, and buffers' data at aligned addresses."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._written: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x: Any) -> int:
        key = (x.dtype.str, x.tobytes())
        if key not in self._written:
            if x.dtype == np.uint8:
                self.Prep(_ALIGNMENT, x.size)
            self._written[key] = super().CreateNumpyVector(x)
        return self._written[key]


def _take_in(root: Any, model: bytes) -> None:
    """Put weights that stand behind the flatbuffer into it."""
    for buffer in root.buffers:
        if buffer.offset > 1:  # 0 and 1 mean that there are none
            buffer.data = np.frombuffer(model, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0


def _set_version(root: Any, version: str) -> None:
    for entry in root.metadata or ():
        if entry.name == _VERSION_KEY:
            text = version.encode().ljust(_VERSION_BYTES, b"\0")
            root.buffers[entry.buffer].data = np.frombuffer(text, np.uint8)


def _needed_version(root: Any, schema: Any) -> str:
    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    graph = root.subgraphs[0]
    versions = [_written_version(root)]
    for operator in graph.operators:
        code = root.operatorCodes[operator.opcodeIndex]
        name = names[max(code.builtinCode, code.deprecatedBuiltinCode)]
        inputs = [graph.tensors[index] for index in operator.inputs if index >= 0]
        versions.extend(_operator_versions(name, inputs, graph.tensors[operator.outputs[0]]))
    return max(versions, key=parse_version)


def _operator_versions(name: str, inputs: list[Any], output: Any) -> list[str]:
    versions = []
    types = {tensor.type for tensor in (*inputs, output)}
    if _FLOAT16 in types:
        versions.append(_HALF_WEIGHTS)
    if _INT8 in types:
        versions.append(_INTEGER if name in _OLD_INTEGER_OPERATORS else _YOUNG_INTEGER)
    if any(_num_scales(tensor) > 1 for tensor in inputs if tensor.type == _INT8):
        known = _PER_CHANNEL if inputs[0].type == _FLOAT32 else _PER_CHANNEL_INTEGER
        versions.extend([known[name]] if name in known else [])
    return versions


def _num_scales(tensor: Any) -> int:
    scale = None if tensor.quantization is None else tensor.quantization.scale
    return 0 if scale is None else len(scale)


def _written_version(root: Any) -> str:
    for entry in root.metadata or ():
        if entry.name == _VERSION_KEY:
            data = root.buffers[entry.buffer].data
            return bytes(data).rstrip(b"\0").decode("ascii") or OLDEST
    return OLDEST
