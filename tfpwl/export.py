"""Keras group -> ``.tflite`` bytes that keep the bundle's contracts (fixed batch, one XNNPACK partition).

Converting takes a model and returns bytes; writing files and manifests is :mod:`tfpwl.bundle`'s job.

The road is: trace with a static shape, freeze the weights into the graph, give the nodes names that
depend on nothing but the graph, convert. Measured on one stage of the CIFAR ResNet teacher (1.1 M
parameters, 2 shared cores, warm): ``from_keras_model`` 1.1 s, of which 0.25 s is the MLIR converter and
the rest Keras writing and TensorFlow reading back a SavedModel with its variables; this road 0.4 s. On a
small group 0.3-0.6 s against 0.1 s. Tracing without freezing writes a file with no weights and raises
nothing, so every file is also run once against Keras.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

# TensorFlow reads this once, when it is first imported (so it helps only before Keras is): without it each
# conversion logs a dozen lines from C++. Errors still show, and failures come as exceptions with the text.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from tensorflow.lite.python.convert import ConverterError
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from tfpwl.errors import ExportError
from tfpwl.pairs import ModelPair, named_models
from tfpwl.xnnpack import for_xnnpack

SIGNATURE = "serving_default"

_DYNAMIC_OPERATORS = frozenset({"SHAPE", "GATHER", "PACK", "REDUCE_PROD"})
_VARIABLE_OPERATORS = frozenset({"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE"})
_DELEGATE = "DELEGATE"
# A guard against missing or wrong weights, not a measure of precision: float32 through another kernel
# differs by some 1e-6 of the largest activation, and activations inside can be larger than the output.
_MAX_RELATIVE_DIFFERENCE = 1e-4
_CONVERSION_ERRORS = (
    ConverterError, tf.errors.OpError, ValueError, TypeError, RuntimeError, NotImplementedError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Operator:
    """One node of an allocated interpreter."""

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def export_model(model: keras.Model, *, batch: int = 1) -> bytes:
    """Convert one group (or a whole composed model) to a float32 ``.tflite`` file.

    The file has static shapes, the signature ``serving_default`` with one input (``input``) and one output
    (``output``), holds its weights, and runs as one XNNPACK partition; all of this is checked on the
    bytes before they are returned. The same model gives the same bytes in any process, whatever was built
    or converted before: names in the file do not depend on Keras' or TensorFlow's name counters.

    Args:
        model: a built Keras model with one float32 input and one output, on the TensorFlow backend.
        batch: the fixed batch size of the file.

    Returns:
        The content of the ``.tflite`` file.

    Raises:
        ExportError: the model cannot be converted, or the file would break a contract; the message names
            the operator.

    Example:
        >>> import keras
        >>> inputs = keras.Input((4,))
        >>> group = keras.Model(inputs, keras.layers.Dense(2)(inputs), name="head")
        >>> export_model(group)[4:8]
        b'TFL3'
    """
    shape = _checked_input_shape(model, batch)
    data = _convert(for_xnnpack(model), shape)
    _check_file(data, model, shape)
    return data


def export_pair(
    pair: ModelPair, *, batch: int = 1, on_progress: Callable[[int, int], None] | None = None
) -> dict[str, bytes]:
    """Convert every group and converter of a pair.

    Args:
        pair: the pair to write.
        batch: the fixed batch size of every file.
        on_progress: called with ``(models done, models in all)`` after each model.

    Returns:
        The file contents under the stems of :func:`tfpwl.pairs.named_models` (``g0.student``, ``b0.encoder``, …).

    Raises:
        ExportError: as :func:`export_model`; the message names the file.

    Example:
        >>> files = export_pair(pair)                                              # doctest: +SKIP
        >>> sorted(files)[:2]                                                      # doctest: +SKIP
        ['b0.decoder', 'b0.encoder']
    """
    # One after another on purpose, measured on 2 cores: the largest preset (vgg-cifar, 10 files, 75 MB) takes 7.9 s
    # here and 21 s in two processes, each of which first imports TensorFlow and reads its models; 14 files of a
    # Fashion-MNIST pair 2.2 s and 28 s. Two threads are slower too (12 small groups: 1.7 s, 2.2 s).
    models = named_models(pair)
    files: dict[str, bytes] = {}
    for stem, model in models.items():
        try:
            files[stem] = export_model(model, batch=batch)
        except ExportError as exc:
            raise ExportError(f"{stem}.tflite: {exc}") from exc
        if on_progress is not None:
            on_progress(len(files), len(models))
    return files


def _checked_input_shape(model: keras.Model, batch: int) -> tuple[int, ...]:
    if keras.backend.backend() != "tensorflow":
        raise ExportError(
            f"Export needs the TensorFlow backend and Keras runs on {keras.backend.backend()!r}. Save the pair "
            "(tfpwl.pairs.save_pair) and export it in a process with KERAS_BACKEND=tensorflow."
        )
    if batch < 1:
        raise ExportError(f"Received batch {batch}; expected 1 or more (the batch of a file is fixed).")
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ExportError(
            f"Model {model.name!r} has {len(model.inputs)} inputs and {len(model.outputs)} outputs; a group maps one "
            "tensor to one tensor. Cut the model where a single tensor passes."
        )
    shape = tuple(model.inputs[0].shape[1:])
    if None in shape:
        raise ExportError(
            f"Model {model.name!r} has the input shape {shape}; expected fixed sizes. Give keras.Input every size."
        )
    for what, tensor in (("input", model.inputs[0]), ("output", model.outputs[0])):
        if tensor.dtype != "float32":
            raise ExportError(f"Model {model.name!r} has an {what} of dtype {tensor.dtype}; expected float32.")
    return (batch, *shape)


def _convert(model: keras.Model, shape: tuple[int, ...]) -> bytes:
    spec = tf.TensorSpec(shape, tf.float32, name="input")
    try:
        traced = tf.function(lambda x: model(x, training=False), input_signature=[spec]).get_concrete_function()
        frozen = _with_stable_names(convert_variables_to_constants_v2(traced))
        serve = tf.function(lambda x: {"output": frozen(x)}, input_signature=[spec]).get_concrete_function()
        # The (empty) module makes the converter go by a SavedModel, which is what writes `serving_default`.
        converter = tf.lite.TFLiteConverter.from_concrete_functions([serve], tf.Module())
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        converter.exclude_conversion_metadata = True
        return bytes(converter.convert())
    except _CONVERSION_ERRORS as exc:
        raise ExportError(
            f"Model {model.name!r} cannot be converted to .tflite with built-in operators only: {_summary(exc)}. "
            "Replace the layer that needs it."
        ) from exc


def _with_stable_names(frozen: Any) -> Any:
    """The frozen function again, with node names that depend on the order of the nodes alone.

    Keras numbers automatic layer names over the whole process (``conv2d_17``), and the converter copies
    node names into the file.
    """
    graph = frozen.graph.as_graph_def()
    names = dict(zip((node.name for node in graph.node), _stable_names(graph.node), strict=True))

    def renamed(reference: str) -> str:
        control = "^" if reference.startswith("^") else ""
        node, colon, port = reference.removeprefix("^").partition(":")
        return f"{control}{names[node]}{colon}{port}"

    for node in graph.node:
        node.name = names[node.name]
        node.input[:] = [renamed(reference) for reference in node.input]
        # tf.nn.silu names its gradient here; a SavedModel that does fails to load in the converter, which then goes on
        # without it and writes a file without a signature. No gradient is taken in a file.
        node.attr.pop("_gradient_op_type", None)
    feed, fetch = renamed(frozen.inputs[0].name), renamed(frozen.outputs[0].name)
    return tf.compat.v1.wrap_function(lambda: tf.import_graph_def(graph, name=""), []).prune(feed, fetch)


def _stable_names(nodes: Sequence[Any]) -> Iterator[str]:
    seen: Counter[str] = Counter()
    for node in nodes:
        base = "/".join(re.sub(r"(_\d+)+$", "", part) for part in node.name.split("/"))
        yield f"{base}_{seen[base]}" if seen[base] else base
        seen[base] += 1


def _summary(exc: BaseException) -> str:
    """The line of a converter's message that says what is wrong; the rest is a stack of places."""
    text = str(exc)
    for telling in (
        r"error: (.+)",  # MLIR: "<place>: error: 'tf.Erfinv' op is neither …"
        r"\x1b\[1m(.+?)(?:\x1b|\n)",  # Keras prints the cause in bold after "Exception encountered when calling …"
        r"(?m)^\s*\w+(?:Error|Exception): (.+)",  # AutoGraph: "in user code: … ValueError: …"
        r"(.+)",
    ):
        if found := re.search(telling, text):
            return found[1].strip().rstrip(".")
    return type(exc).__name__


def _check_file(data: bytes, model: keras.Model, shape: tuple[int, ...]) -> None:
    try:
        interpreter = Interpreter(model_content=data, num_threads=1)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as exc:
        raise ExportError(f"Model {model.name!r}: the converted file does not load: {exc}") from exc
    _check_interface(interpreter, model.name, shape)
    _check_operators(_operators(interpreter), model.name)
    _check_answer(interpreter, model, shape)


def _check_interface(interpreter: Any, name: str, shape: tuple[int, ...]) -> None:
    signatures = interpreter.get_signature_list()
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    if list(signatures) != [SIGNATURE] or len(inputs) != 1 or len(outputs) != 1:
        raise ExportError(
            f"Model {name!r}: the file has signatures {sorted(signatures)}, {len(inputs)} inputs and {len(outputs)} "
            f"outputs; expected only {SIGNATURE!r} with one of each."
        )
    if tuple(inputs[0]["shape"]) != shape or outputs[0]["shape"][0] != shape[0]:
        raise ExportError(
            f"Model {name!r}: the file maps {inputs[0]['shape'].tolist()} to {outputs[0]['shape'].tolist()}; expected "
            f"the input {list(shape)} and the same batch in the output. Keep the batch axis first and unmixed."
        )
    for tensor in (inputs[0], outputs[0]):
        if -1 in tensor["shape_signature"] or tensor["dtype"] != np.float32:
            raise ExportError(
                f"Model {name!r}: tensor {tensor['name']!r} has shape {tensor['shape_signature'].tolist()} and dtype "
                f"{np.dtype(tensor['dtype']).name}; expected static sizes and float32."
            )


def _operators(interpreter: Any) -> list[_Operator]:
    details = interpreter._get_ops_details()  # the only call that lists operators and delegate partitions
    return [
        _Operator(d["op_name"], tuple(int(i) for i in d["inputs"]), tuple(int(i) for i in d["outputs"]))
        for d in details
    ]


def _check_operators(operators: list[_Operator], name: str) -> None:
    plain = [op for op in operators if op.name != _DELEGATE]
    partitions = [op for op in operators if op.name == _DELEGATE]
    names = {op.name for op in plain}
    if not plain:
        raise ExportError(f"Model {name!r} holds no operator, it hands its input on. Merge it with a neighbour group.")
    if names & _VARIABLE_OPERATORS:
        raise ExportError(
            f"Model {name!r}: the file reads variables ({_listed(names & _VARIABLE_OPERATORS)}) instead of holding its "
            "weights. Keep state (counters, random seeds) out of a group's inference."
        )
    if names & _DYNAMIC_OPERATORS:
        raise ExportError(
            f"Model {name!r}: operators {_listed(names & _DYNAMIC_OPERATORS)} compute shapes while running. Use static "
            "sizes: keras.layers.Reshape or Flatten in place of ops.shape()."
        )
    left = _left_outside(plain, partitions)
    if len(partitions) != 1 or left:
        raise ExportError(
            f"Model {name!r} runs as {len(partitions)} XNNPACK partitions, split by "
            f"{_listed({op.name for op in left}) or 'its layout'}; expected exactly 1 and nothing outside it. Replace "
            "the layer that needs that operator, or cut the groups so that it is in none."
        )


def _left_outside(plain: list[_Operator], partitions: list[_Operator]) -> list[_Operator]:
    """The operators that no partition took over: those not met when walking back from each one's outputs."""
    producer = {tensor: op for op in plain for tensor in op.outputs}
    taken: set[int] = set()
    for partition in partitions:
        open_tensors = list(partition.outputs)
        while open_tensors:
            tensor = open_tensors.pop()
            op = producer.get(tensor)
            if op is not None and id(op) not in taken and tensor not in partition.inputs:
                taken.add(id(op))
                open_tensors.extend(op.inputs)
    return [op for op in plain if id(op) not in taken]


def _listed(names: set[str] | frozenset[str]) -> str:
    return ", ".join(sorted(names))


def _check_answer(interpreter: Any, model: keras.Model, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).random(shape, dtype=np.float32)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    got = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    expected = np.asarray(model(x, training=False))
    difference = float(np.max(np.abs(got - expected)))
    # `not <=` rather than `>`, so that NaN counts as a difference.
    if not difference <= _MAX_RELATIVE_DIFFERENCE * max(1.0, float(np.max(np.abs(expected)))):
        raise ExportError(
            f"Model {model.name!r}: the file's answer differs from Keras' by {difference:.3g}; expected at most "
            f"{_MAX_RELATIVE_DIFFERENCE:g} of the largest value. NaN or huge weights? Check the training."
        )
