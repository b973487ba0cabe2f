"""A Keras 3 group rebuilt in tf_keras, for which alone tensorflow-model-optimization (tfmot) was written.

The twin computes what the group computes. A ReLU that follows a convolution or dense layer becomes that layer's
activation: the .tflite file has one operator and one tensor there, and tfmot 0.8.1 leaves the weights of
``Conv2D → ReLU`` in float (its LayerReLUQuantize replaces the convolution's whole configuration by one that does
nothing). tf_keras and tfmot are imported inside functions: they take seconds.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from tfpwl.errors import QuantizationError

_WITH_WEIGHTS = ("Conv2D", "Dense")
# Layers whose output keeps the grid of their input: they pick or move values and make none.
SAME_GRID = frozenset({"Dropout", "Flatten", "MaxPooling2D", "Reshape", "ZeroPadding2D"})
SUPPORTED = frozenset({*_WITH_WEIGHTS, *SAME_GRID, "InputLayer", "ReLU", "Activation", "Add", "GlobalAveragePooling2D"})
# What tf_keras does not take, or what only matters before training.
_DROPPED = (
    "trainable",
    "initializer",
    "regularizer",
    "constraint",
    "quantization_config",
    "dtype",
    "lora_rank",
    "lora_alpha",
)


@contextmanager
def legacy_keras() -> Iterator[Any]:
    """tf_keras, with the environment left as it was: tfmot sets ``TF_USE_LEGACY_KERAS`` for the whole process.

    Raises:
        QuantizationError: tf_keras or tfmot is not installed.
    """
    before = os.environ.get("TF_USE_LEGACY_KERAS")
    try:
        yield _import()
    finally:
        if before is None:
            os.environ.pop("TF_USE_LEGACY_KERAS", None)
        else:
            os.environ["TF_USE_LEGACY_KERAS"] = before


def _import() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tfmot 0.8.1 compares versions with distutils
            import tensorflow_model_optimization  # noqa: F401, PLC0415 - first: it decides which Keras it works on
            import tf_keras  # noqa: PLC0415
    except ImportError as exc:
        raise QuantizationError(
            f"Quantization-aware training needs tf_keras and tensorflow-model-optimization ({exc}). Install "
            "tfpwl[train]."
        ) from exc
    return tf_keras


def build_twin(model: keras.Model) -> Any:
    """Rebuild a functional Keras 3 model in tf_keras, with its weights.

    Args:
        model: one input, one output, every layer called once; layers of :data:`SUPPORTED`. Batch normalizations have to
            be folded before (:func:`tfpwl.fused.fold_batchnorm`).

    Returns:
        A ``tf_keras.Model`` with the same layer names, but for the ReLUs that became a layer's activation. Its outputs
        are equal to the bit.

    Raises:
        QuantizationError: a layer that tfmot cannot quantize, or a model that is no graph of layers.

    Example:
        >>> twin = build_twin(fold_batchnorm(group))                                # doctest: +SKIP
    """
    _check(model)
    with legacy_keras() as tf_keras:
        fused = fused_relus(model)
        built: dict[int, Any] = {}
        for layer in _in_order(model):
            tensor = layer.output
            if isinstance(layer, keras.layers.InputLayer):
                built[id(tensor)] = tf_keras.Input(tensor.shape[1:], name=layer.name)
                continue
            node = layer._inbound_nodes[0]
            inputs = [built[id(source)] for source in node.input_tensors]
            if layer.name in fused:
                built[id(tensor)] = inputs[0]
                continue
            activation = "relu" if layer.name in fused.values() else None
            built[id(tensor)] = _rebuilt(tf_keras, layer, activation)(inputs if len(inputs) > 1 else inputs[0])
        twin = tf_keras.Model(built[id(model.inputs[0])], built[id(model.outputs[0])], name=model.name)
    for layer in model.layers:
        if layer.weights:
            twin.get_layer(layer.name).set_weights(layer.get_weights())
    return twin


def fused_relus(model: keras.Model) -> dict[str, str]:
    """Name of each ReLU that can be the activation of the layer before it, and the name of that layer."""
    found = {}
    for layer in model.layers:
        if not is_plain_relu(layer):
            continue
        before = layer._inbound_nodes[0].parent_nodes[0].operation
        if (
            type(before).__name__ in _WITH_WEIGHTS
            and before.activation is keras.activations.linear
            and len(before._outbound_nodes) == 1
        ):
            found[layer.name] = before.name
    return found


def is_plain_relu(layer: keras.layers.Layer) -> bool:
    """``max(x, 0)``, whichever layer writes it."""
    if isinstance(layer, keras.layers.ReLU):
        return layer.max_value is None and not layer.negative_slope and not layer.threshold
    return isinstance(layer, keras.layers.Activation) and layer.activation is keras.activations.relu


def _check(model: keras.Model) -> None:
    if not isinstance(model, keras.Model) or not hasattr(model, "operations") or len(model.inputs) != 1:
        raise QuantizationError(
            f"Model {model.name!r} is not a functional model with one input; quantization-aware training rebuilds a "
            "group layer by layer. Build the group with keras.Model(inputs, outputs)."
        )
    for layer in model.operations:
        kind = type(layer).__name__
        reason = None
        if kind not in SUPPORTED:
            reason = f"a {kind}"
        elif kind == "ReLU" and not is_plain_relu(layer):
            reason = "a ReLU with max_value, negative_slope or threshold"
        elif kind in (*_WITH_WEIGHTS, "Activation") and layer.activation not in (
            keras.activations.linear, keras.activations.relu,
        ):  # fmt: skip
            reason = f"a {kind} with the activation {getattr(layer.activation, '__name__', layer.activation)!r}"
        elif len(layer._inbound_nodes) != 1:
            reason = f"a {kind} that is called {len(layer._inbound_nodes)} times"
        if reason is not None:
            raise QuantizationError(
                f"Group {model.name!r}: layer {layer.name!r} is {reason}, which quantization-aware training "
                f"(tensorflow-model-optimization) does not take; it takes {', '.join(sorted(SUPPORTED))} and "
                "BatchNormalization after Conv2D or Dense. Leave `qat` out of `quantize:` for this family: int8 by "
                "calibration, w8 and fp16 work."
            )


def _in_order(model: keras.Model) -> list[Any]:
    """The layers, each after those it takes its inputs from."""
    done: dict[int, Any] = {}

    def visit(layer: Any) -> None:
        if id(layer) in done:
            return
        for parent in layer._inbound_nodes[0].parent_nodes:
            visit(parent.operation)
        done[id(layer)] = layer

    visit(model.outputs[0]._keras_history.operation)
    return list(done.values())


def _rebuilt(tf_keras: Any, layer: Any, activation: str | None) -> Any:
    config = {key: value for key, value in layer.get_config().items() if not key.endswith(_DROPPED)}
    if activation is not None:
        config["activation"] = activation
    return getattr(tf_keras.layers, type(layer).__name__).from_config(config)
