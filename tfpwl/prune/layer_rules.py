"""How each Keras layer ties its channels together: one function per kind of layer, and the table of them.

Layers are looked up by their exact class: a subclass may do anything, so it is unknown. An unknown layer closes every
channel that reaches it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import keras
import numpy as np

from tfpwl.models.calls import Call
from tfpwl.prune.activation_rules import activation, softmax
from tfpwl.prune.attention_rules import attention, multi_head_attention
from tfpwl.prune.kernel_rules import conv, conv_transpose, dense, depthwise, einsum_dense, embedding, separable
from tfpwl.prune.passing_rules import concatenate_layer, keep_channels, pass_input, permute, reshape, tie_elementwise
from tfpwl.prune.trace import Trace, Unknown
from tfpwl.prune.vector_rules import batch_normalization, group_normalization, layer_normalization, layer_scale, prelu

Rule = Callable[[Trace, Call], None]


def _rescaling(trace: Trace, call: Call) -> None:
    if any(np.size(number) != 1 for number in (call.operation.scale, call.operation.offset)):
        raise Unknown("it has a scale or offset for each channel in its config")
    keep_channels(trace, call)


L = keras.layers
_DIMENSIONS = ("1D", "2D", "3D")


def _of(pattern: str) -> list[Any]:
    return [getattr(L, pattern.format(d)) for d in _DIMENSIONS if hasattr(L, pattern.format(d))]


def _table() -> Mapping[Any, Rule]:
    rules: dict[Any, Rule] = {
        L.InputLayer: pass_input, L.Dense: dense, L.EinsumDense: einsum_dense, L.Embedding: embedding,
        L.BatchNormalization: batch_normalization, L.LayerNormalization: layer_normalization,
        L.GroupNormalization: group_normalization, L.MultiHeadAttention: multi_head_attention,
        L.Attention: attention, L.PReLU: prelu, L.Softmax: softmax, L.Rescaling: _rescaling,
        L.Activation: activation, L.Concatenate: concatenate_layer, L.Flatten: reshape, L.Reshape: reshape,
        L.Permute: permute,
        # Layers of keras.applications, which Keras itself loads by these paths.
        "keras.src.applications.convnext.LayerScale": layer_scale,
        "keras.src.applications.convnext.StochasticDepth": keep_channels,
        "keras.src.applications.inception_resnet_v2.CustomScaleLayer": tie_elementwise,
    }  # fmt: skip
    if hasattr(L, "RMSNormalization"):
        rules[L.RMSNormalization] = layer_normalization
    by_rule: list[tuple[Rule, list[Any]]] = [
        (conv, _of("Conv{}")), (conv_transpose, _of("Conv{}Transpose")), (depthwise, _of("DepthwiseConv{}")),
        (separable, _of("SeparableConv{}")),
        (tie_elementwise, [L.Add, L.Subtract, L.Multiply, L.Average, L.Maximum, L.Minimum]),
        (keep_channels, [
            L.ReLU, L.LeakyReLU, L.ELU, L.Identity, L.Dropout, L.GaussianNoise, L.GaussianDropout, L.AlphaDropout,
            L.ActivityRegularization, L.RepeatVector, *_of("SpatialDropout{}"), *_of("MaxPooling{}"),
            *_of("AveragePooling{}"), *_of("GlobalMaxPooling{}"), *_of("GlobalAveragePooling{}"),
            *_of("AdaptiveAveragePooling{}"), *_of("AdaptiveMaxPooling{}"), *_of("ZeroPadding{}"),
            *_of("Cropping{}"), *_of("UpSampling{}"),
        ]),
    ]  # fmt: skip
    for rule, kinds in by_rule:
        rules.update(dict.fromkeys(kinds, rule))
    return MappingProxyType(rules)


RULES = _table()


def find_rule(layer: Any) -> Rule | None:
    """The rule of a layer's exact class, or ``None``."""
    kind = type(layer)
    return RULES.get(kind) or RULES.get(f"{kind.__module__}.{kind.__qualname__}")
