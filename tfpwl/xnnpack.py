"""The same network in layers that TFLite's XNNPACK delegate takes over, for models that somebody else designed.

A layer outside the delegate splits a file into several partitions, and tensors travel between them. Two that occur in
well-known networks have an exact counterpart inside:

- a pooling of 1×1 with a stride (ResNetV2's and NASNet's shortcuts) only leaves pixels out, and so does a depthwise
  convolution of 1×1 whose kernel is 1;
- a concatenation of more tensors than the delegate joins at once (NASNet's cells) is one of concatenations.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

_POOLS = (keras.layers.MaxPooling2D, keras.layers.AveragePooling2D)
_MOST_JOINED = 4


def for_xnnpack(model: keras.Model) -> keras.Model:
    """``model`` itself, or a copy that gives the same answers with the layers above replaced.

    Example:
        >>> inputs = keras.Input((4, 4, 2))
        >>> model = keras.Model(inputs, keras.layers.MaxPooling2D(1, strides=2)(inputs))
        >>> [type(layer).__name__ for layer in for_xnnpack(model).layers]
        ['InputLayer', 'DepthwiseConv2D']
    """
    if not any(_is_pool(layer) or _joins_many(layer) for layer in _layers(model)):
        return model
    copy = keras.models.clone_model(model, clone_function=_clone, call_function=_call)
    for layer in model.layers:
        # A replaced pooling has no weights, what replaces it has its own; a nested model was copied with them.
        if layer.weights and not _is_model(layer):
            copy.get_layer(layer.name).set_weights(layer.get_weights())
    return copy


def _layers(model: keras.Model) -> Iterator[Any]:
    for layer in model.layers:
        yield from _layers(layer) if _is_model(layer) else (layer,)


def _is_model(layer: Any) -> bool:
    return isinstance(layer, keras.Model)


def _is_pool(layer: Any) -> bool:
    return type(layer) in _POOLS and tuple(layer.pool_size) == (1, 1) and tuple(layer.strides) != (1, 1)


def _joins_many(layer: Any) -> bool:
    if type(layer) is not keras.layers.Concatenate:
        return False
    return any(len(node.input_tensors) > _MOST_JOINED for node in layer._inbound_nodes)


def _clone(layer: Any) -> Any:
    if _is_model(layer):
        return for_xnnpack(layer)
    if _is_pool(layer):
        return keras.layers.DepthwiseConv2D(
            1, layer.strides, use_bias=False, depthwise_initializer="ones", data_format=layer.data_format,
            name=layer.name,
        )  # fmt: skip
    return type(layer).from_config(layer.get_config())


def _call(layer: Any, *args: Any, **kwargs: Any) -> Any:
    if type(layer) is keras.layers.Concatenate:
        (tensors,) = args
        while len(tensors) > _MOST_JOINED:
            first = keras.layers.Concatenate(layer.axis)(tensors[:_MOST_JOINED])
            tensors = [first, *tensors[_MOST_JOINED:]]
        return layer(tensors, **kwargs)
    return layer(*args, **kwargs)
