"""The same networks with faster operators, for the time of training only.

Both functions return new models; what is handed in is not changed. On two cores they make a PWL step of the
``resnet-cifar`` pair faster than shared passes alone do (``benchmarks/distill_step.py``).
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

_FOLDABLE = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense)


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalization by TensorFlow's one fused operator instead of the twenty that Keras composes.

    Same variables and same numbers as :class:`keras.layers.BatchNormalization` (to rounding); only training on
    rank-4 channels-last input takes the fused road.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if not training or not self.trainable or len(inputs.shape) != 4 or self.axis not in (-1, 3):
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf  # noqa: PLC0415 - on other backends this line is never reached

        gamma = self.gamma if self.scale else tf.ones_like(self.moving_mean)
        beta = self.beta if self.center else tf.zeros_like(self.moving_mean)
        empty = tf.zeros([0], tf.float32)
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs, scale=gamma, offset=beta, mean=empty, variance=empty, epsilon=self.epsilon, is_training=True
        )
        # The operator returns the unbiased variance; Keras keeps the biased one.
        count = tf.cast(tf.size(inputs) / tf.shape(inputs)[-1], variance.dtype)
        variance = variance * ((count - 1.0) / count)
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving + (value - moving) * (1.0 - self.momentum))
        return outputs


def fuse_batchnorm(model: keras.Model) -> keras.Model:
    """A copy of ``model`` that trains with fused batch normalization; on other backends the model itself.

    ``model.set_weights(copy.get_weights())`` carries the trained weights back.
    """
    if keras.backend.backend() != "tensorflow":
        return model  # XLA fuses by itself

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        kind = FusedBatchNormalization if type(layer) is keras.layers.BatchNormalization else type(layer)
        return kind.from_config(layer.get_config())

    copy = keras.models.clone_model(model, clone_function=clone)
    copy.set_weights(model.get_weights())
    return copy


def fold_batchnorm(model: keras.Model) -> keras.Model:
    """A frozen copy of ``model`` in which batch normalizations are folded into the layers before them.

    For inference only. A batch normalization is folded where its input comes from a convolution or dense layer
    without activation that feeds nothing else; the others stay.

    Example:
        >>> frozen = fold_batchnorm(teacher_group)   # doctest: +SKIP
    """
    folds = _folds(model)
    normalizations = {bn.name for _, bn in folds}
    folded = {layer.name for layer, _ in folds}

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        if layer.name in folded:
            config["use_bias"] = True
        return type(layer).from_config(config)

    def call(layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> Any:
        return args[0] if layer.name in normalizations else layer(*args, **kwargs)

    copy = keras.models.clone_model(model, clone_function=clone, call_function=call)
    for layer in model.layers:
        if layer.weights and layer.name not in normalizations and layer.name not in folded:
            copy.get_layer(layer.name).set_weights(layer.get_weights())
    for layer, bn in folds:
        copy.get_layer(layer.name).set_weights(_folded_weights(layer, bn))
    copy.trainable = False
    return copy


def _folds(model: keras.Model) -> list[tuple[keras.layers.Layer, keras.layers.Layer]]:
    """Pairs (layer, the batch normalization that folds into it)."""
    folds = []
    for bn in model.layers:
        if type(bn) is not keras.layers.BatchNormalization or len(bn._inbound_nodes) != 1:
            continue
        (source,) = bn._inbound_nodes[0].parent_nodes
        layer = source.operation
        if (
            type(layer) in _FOLDABLE
            and layer.activation is keras.activations.linear
            and len(layer._inbound_nodes) == 1
            and len(layer._outbound_nodes) == 1
            and bn.axis in (-1, len(bn.input.shape) - 1)
        ):
            folds.append((layer, bn))
    return folds


def _folded_weights(layer: keras.layers.Layer, bn: keras.layers.BatchNormalization) -> list[np.ndarray]:
    kernel, *bias = (weight.astype(np.float64) for weight in layer.get_weights())
    mean, variance = np.asarray(bn.moving_mean, np.float64), np.asarray(bn.moving_variance, np.float64)
    factor = (np.asarray(bn.gamma, np.float64) if bn.scale else 1.0) / np.sqrt(variance + bn.epsilon)
    offset = (bias[0] if bias else 0.0) - mean
    beta = np.asarray(bn.beta, np.float64) if bn.center else 0.0
    # A depthwise kernel is (h, w, channels, multiplier): its outputs run over the last two axes.
    scaled = kernel * (factor.reshape(kernel.shape[2:]) if isinstance(layer, keras.layers.DepthwiseConv2D) else factor)
    return [scaled, offset * factor + beta]
