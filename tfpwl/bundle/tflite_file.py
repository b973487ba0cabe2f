"""What a .tflite file says about its ends and the runtime it needs."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfpwl.bundle.entries import TensorSpec
from tfpwl.bundle.version import OLDEST, parse_version
from tfpwl.errors import ContractError

IDENTIFIER = b"TFL3"
SIGNATURE = "serving_default"
_VERSION_KEY = b"min_runtime_version"


@dataclass(frozen=True, slots=True)
class TfliteFacts:
    """The two ends of a file and the oldest TFLite runtime that runs it."""

    input: TensorSpec
    output: TensorSpec
    min_runtime_version: str


def read_facts(name: str, model: bytes) -> TfliteFacts:
    """Read a file that a converter of ours wrote; files of unknown origin need their checksum checked first.

    Args:
        name: for messages.
        model: the bytes of a .tflite file.

    Raises:
        ContractError: it is no .tflite file, or has not one fixed-shape input, one output and one signature
            ``serving_default``.
    """
    # Here and not above: the schema module has a class per operator and is needed by few callers.
    from ai_edge_litert import schema_py_generated as schema  # noqa: PLC0415

    if model[4:8] != IDENTIFIER:
        raise ContractError(f"{name}: received {len(model)} bytes without the mark TFL3 of a .tflite file.")
    try:
        return _read(name, schema.Model.GetRootAsModel(model, 0))
    except (struct.error, IndexError, TypeError, ValueError, AttributeError, UnicodeDecodeError) as exc:
        # What the generated accessors raise when an offset leads nowhere.
        raise ContractError(f"{name}: the flatbuffer is broken ({exc}); convert the group again.") from exc


def _read(name: str, model: Any) -> TfliteFacts:
    graph = model.Subgraphs(0)
    if (graph.InputsLength(), graph.OutputsLength()) != (1, 1):
        raise ContractError(
            f"{name}: received {graph.InputsLength()} inputs and {graph.OutputsLength()} outputs; expected one of each."
        )
    keys = [model.SignatureDefs(i).SignatureKey().decode() for i in range(model.SignatureDefsLength())]
    if keys != [SIGNATURE]:
        raise ContractError(f"{name}: received signatures {keys}; expected exactly {SIGNATURE!r}.")
    return TfliteFacts(
        _tensor_spec(name, graph.Tensors(graph.Inputs(0))),
        _tensor_spec(name, graph.Tensors(graph.Outputs(0))),
        _min_runtime_version(model),
    )


_DTYPES = {0: "float32", 1: "float16", 3: "uint8", 7: "int16", 9: "int8"}


def spec_of_detail(detail: Mapping[str, Any]) -> TensorSpec:
    """What an interpreter's ``get_input_details()[0]`` or ``get_output_details()[0]`` says."""
    shape, dtype = tuple(int(n) for n in detail["shape"]), np.dtype(detail["dtype"]).name
    scale, zero_point = detail["quantization"]
    return TensorSpec(shape, dtype, float(scale), int(zero_point)) if scale else TensorSpec(shape, dtype)


def _tensor_spec(name: str, tensor: Any) -> TensorSpec:
    shape = tuple(int(tensor.Shape(i)) for i in range(tensor.ShapeLength()))
    signature = tuple(int(tensor.ShapeSignature(i)) for i in range(tensor.ShapeSignatureLength()))
    if any(axis < 1 for axis in (*shape, *signature)):
        raise ContractError(
            f"{name}: received the free shape {list(signature or shape)}; every axis must be fixed. "
            "Wrap the group in keras.Input(batch_shape=(1, ...)) before converting."
        )
    if tensor.Type() not in _DTYPES:
        expected = ", ".join(sorted(_DTYPES.values()))
        raise ContractError(f"{name}: received tensor type {tensor.Type()} (schema); expected {expected}.")
    quantization = tensor.Quantization()
    if quantization is None or quantization.ScaleLength() == 0:
        return TensorSpec(shape, _DTYPES[tensor.Type()])
    if quantization.ScaleLength() != 1:
        raise ContractError(f"{name}: {quantization.ScaleLength()} scales on one end; activations have one scale.")
    return TensorSpec(shape, _DTYPES[tensor.Type()], float(quantization.Scale(0)), int(quantization.ZeroPoint(0)))


def _min_runtime_version(model: Any) -> str:
    for i in range(model.MetadataLength()):
        entry = model.Metadata(i)
        if entry.Name() != _VERSION_KEY:
            continue
        # A fixed-size field, filled up with zeros; empty where the converter did not know an operator's version.
        text = model.Buffers(entry.Buffer()).DataAsNumpy().tobytes().rstrip(b"\0").decode("ascii")
        return ".".join(str(part) for part in parse_version(text)) if text else OLDEST
    return OLDEST
