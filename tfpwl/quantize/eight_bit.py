"""The 8-bit scheme of the .tflite files as a tfmot scheme: what quantization-aware training pretends.

litert-quantizer's ``static_wi8_ai8``: symmetric int8 weights with one scale for each output channel (convolutions and
dense layers), asymmetric int8 activations with one scale for each tensor, at the places where the .tflite file has a
tensor. tfmot's default scheme differs in two: it gives a dense layer one scale for all of its outputs, and moves an
activation's range from [-6, 6] towards the data by 0.1 % a step, so that a training of a hundred steps never gets
there. Here ranges start from those of the float model.

Importing this module imports tfmot; do it inside :func:`tfpwl.quantize.twin.legacy_keras`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow_model_optimization as tfmot
import tf_keras

from tfpwl.quantize.ranges import Range
from tfpwl.quantize.twin import SAME_GRID

_QUANTIZERS = tfmot.quantization.keras.quantizers


class LayerConfig(tfmot.quantization.keras.QuantizeConfig):
    """What of one layer is quantized: its kernel, its output, both or nothing."""

    def __init__(self, kernel: bool, output: bool) -> None:
        self.kernel, self.output = kernel, output

    def get_weights_and_quantizers(self, layer: Any) -> list[Any]:
        if not self.kernel:
            return []
        per_channel = _QUANTIZERS.LastValueQuantizer(num_bits=8, per_axis=True, symmetric=True, narrow_range=True)
        return [(layer.kernel, per_channel)]

    def set_quantize_weights(self, layer: Any, quantize_weights: Any) -> None:
        if self.kernel:
            (layer.kernel,) = quantize_weights

    def get_activations_and_quantizers(self, layer: Any) -> list[Any]:
        return []

    def set_quantize_activations(self, layer: Any, quantize_activations: Any) -> None:
        return None  # the output is quantized, behind the activation

    def get_output_quantizers(self, layer: Any) -> list[Any]:
        if not self.output:
            return []
        return [
            _QUANTIZERS.MovingAverageQuantizer(num_bits=8, per_axis=False, symmetric=False, narrow_range=False)
        ]  # fmt: skip

    def get_config(self) -> dict[str, bool]:
        return {"kernel": self.kernel, "output": self.output}


class _AsItIs(tfmot.quantization.keras.QuantizeLayoutTransform):
    """No rewriting: batch normalizations are folded and ReLUs are activations already."""

    def apply(self, model: Any, layer_quantize_map: Any) -> tuple[Any, Any]:
        return model, layer_quantize_map


class _Scheme(tfmot.quantization.keras.QuantizeScheme):
    def get_layout_transformer(self) -> Any:
        return _AsItIs()

    def get_quantize_registry(self) -> Any:
        return tfmot.quantization.keras.default_8bit.Default8BitQuantizeRegistry()


def layer_configs(twin: Any) -> dict[str, LayerConfig]:
    """The configuration of each layer of a twin, by name.

    The last output is left to the boundary, whose range is fixed from outside. So is what shares its grid: in int8 a
    max-pool hands its input's scale on, and rounding before it or behind it is the same.
    """
    consumers: dict[str, list[Any]] = {}
    for layer in twin.layers:
        for node in layer.inbound_nodes:
            for source in _flat(node.inbound_layers):
                consumers.setdefault(source.name, []).append(layer)
    left = _tied_to_output(twin, consumers)
    configs = {}
    for layer in twin.layers:
        kind = type(layer).__name__
        relus = [after for after in consumers.get(layer.name, ()) if type(after).__name__ in ("ReLU", "Activation")]
        output = kind not in SAME_GRID and kind != "InputLayer" and layer.name not in left
        if kind == "Add" and relus and len(relus) == len(consumers[layer.name]):
            output = False  # the file has one ADD with a fused ReLU
        configs[layer.name] = LayerConfig(kernel=hasattr(layer, "kernel"), output=output)
    return configs


def _flat(layers: Any) -> list[Any]:
    return list(layers) if isinstance(layers, (list, tuple)) else [layers]


def _tied_to_output(twin: Any, consumers: Mapping[str, list[Any]]) -> set[str]:
    layer = twin.layers[-1]
    tied = {layer.name}
    while type(layer).__name__ in SAME_GRID:
        (before,) = _flat(layer.inbound_nodes[0].inbound_layers)
        if len(consumers[before.name]) > 1:
            break
        tied.add(before.name)
        layer = before
    return tied


def quantized_twin(twin: Any, ranges: Mapping[str, Range]) -> Any:
    """The twin with rounding pretended in its kernels and in the outputs of its layers, but for the last output.

    Args:
        twin: from :func:`tfpwl.quantize.twin.build_twin`.
        ranges: of the layers' outputs by layer name, from running the float twin: where tfmot's moving averages start.

    Returns:
        A ``tf_keras.Model``; layer ``x`` is inside the wrapper ``quant_x``.
    """
    configs = layer_configs(twin)

    def annotated(layer: Any) -> Any:
        return tfmot.quantization.keras.quantize_annotate_layer(
            layer.from_config(layer.get_config()), configs[layer.name]
        )

    with tfmot.quantization.keras.quantize_scope({"LayerConfig": LayerConfig}):
        copy = tf_keras.models.clone_model(twin, clone_function=annotated)
        copy.set_weights(twin.get_weights())
        model = tfmot.quantization.keras.quantize_apply(copy, _Scheme())
    for name, config in configs.items():
        if config.output:
            known = {variable.name.split("/")[-1]: variable for variable in model.get_layer(f"quant_{name}").weights}
            known["output_min:0"].assign(min(ranges[name].low, 0.0))
            known["output_max:0"].assign(max(ranges[name].high, 0.0))
    return model


def trained_weights(model: Any) -> dict[str, list[Any]]:
    """The float weights of a quantized twin, ``[kernel, bias]`` by the layer's own name."""
    return {
        wrapper.layer.name: [variable.numpy() for variable in wrapper.trainable_weights]
        for wrapper in model.layers
        if wrapper.trainable_weights
    }
