"""Small models whose channels are tied in every way that the package knows."""

from __future__ import annotations

from collections.abc import Callable

import keras
from keras import layers as L
from keras import ops


def conv_bn_relu(x, channels, kernel=3, stride=1, **options):
    x = L.Conv2D(channels, kernel, stride, padding="same", use_bias=False, **options)(x)
    return L.ReLU()(L.BatchNormalization()(x))


def head(inputs, x, name="m"):
    return keras.Model(inputs, L.Dense(5, name="logits")(L.GlobalAveragePooling2D()(x)), name=name)


def resnet():
    inputs = keras.Input((8, 8, 3))
    x = conv_bn_relu(inputs, 16)
    for width, stride in ((16, 1), (24, 2), (24, 1)):
        y = L.BatchNormalization()(L.Conv2D(width, 3, padding="same")(conv_bn_relu(x, width, stride=stride)))
        x = x if stride == 1 else L.Conv2D(width, 1, strides=2)(x)
        x = L.ReLU()(L.Add()([x, y]))
    return head(inputs, x)


def densenet():
    inputs = keras.Input((8, 8, 3))
    x = conv_bn_relu(inputs, 16)
    for _ in range(3):
        y = L.Conv2D(16, 3, padding="same")(L.ReLU()(L.BatchNormalization()(x)))
        x = L.Concatenate()([x, y])
    return head(inputs, x)


def squeeze_excite():
    inputs = keras.Input((8, 8, 3))
    x = conv_bn_relu(inputs, 16)
    s = L.Reshape((1, 1, 16))(L.GlobalAveragePooling2D()(x))
    s = L.Conv2D(16, 1, activation="sigmoid")(L.Conv2D(8, 1, activation="relu")(s))
    x = L.DepthwiseConv2D(3, depth_multiplier=2)(L.Multiply()([x, s]))
    x = x * (ops.relu6(x + 3.0) / 6.0)  # hard swish as MobileNetV3 writes it
    spatial = L.Conv2D(1, 3, padding="same", activation="sigmoid")(x)
    return head(inputs, L.SeparableConv2D(16, 3, depth_multiplier=2)(L.Multiply()([x, spatial])))


def flattened():
    inputs = keras.Input((6, 6, 2))
    x = L.MaxPooling2D()(L.Conv2D(16, 3, padding="same", activation="relu")(inputs))
    x = L.Dense(24, activation="gelu")(L.Flatten()(x))
    x = L.PReLU()(L.Dense(16)(x))
    return keras.Model(inputs, L.Dense(5)(x), name="flattened")


def transformer():
    inputs = keras.Input((6, 8))
    x = L.Dense(32)(inputs)
    y = L.LayerNormalization()(x)
    x = L.Add()([x, L.MultiHeadAttention(4, 8)(y, y)])
    y = L.LayerNormalization()(x)
    y = L.Dense(32)(L.Dense(48, activation="gelu")(y))
    x = L.Add()([x, y])
    y = L.MultiHeadAttention(2, 8, value_dim=16)(x, inputs)  # cross-attention that no residual ties to its query
    y = L.EinsumDense("btd,de->bte", output_shape=(6, 24), bias_axes="te")(y)
    y = L.Attention()([y, y])
    return keras.Model(inputs, L.Dense(5)(L.GlobalAveragePooling1D()(y)), name="transformer")


def grouped():
    inputs = keras.Input((8, 8, 3))
    x = conv_bn_relu(inputs, 32, 1)
    x = L.GroupNormalization(8)(L.Conv2D(64, 3, groups=16)(x))
    x = L.GroupNormalization(1)(L.Conv2DTranspose(16, 2, strides=2)(x))
    return head(inputs, L.Conv2D(16, 1)(x))


def operations():
    inputs = keras.Input((8, 8, 3))
    x = L.Conv2D(32, 3)(inputs)
    a, b = ops.split(x, 2, axis=-1)
    x = ops.concatenate([ops.silu(a) * b, x[..., 4:20]], axis=-1)
    x = ops.mean(x, axis=(1, 2), keepdims=True)
    return keras.Model(inputs, L.Dense(5)(ops.squeeze(ops.maximum(x, 0.1), axis=(1, 2))), name="operations")


def nested():
    inner_in = keras.Input((8, 8, 16))
    inner = keras.Model(inner_in, L.Conv2D(24, 3, padding="same")(conv_bn_relu(inner_in, 24)), name="inner")
    tail = keras.Sequential([L.Input((8, 8, 24)), L.Conv2D(16, 1), L.ReLU()], name="tail")
    inputs = keras.Input((8, 8, 3))
    return head(inputs, tail(inner(conv_bn_relu(inputs, 16))))


def shared():
    inputs = keras.Input((8, 8, 3))
    x = L.Conv2D(16, 3, padding="same")(inputs)
    twice = L.Conv2D(16, 3, padding="same", name="twice")
    norm = L.BatchNormalization(name="norm")
    return head(inputs, norm(twice(norm(twice(x)))))


def nested_twice():
    inner_in = keras.Input((8,))
    inner = keras.Model(inner_in, L.Dense(8)(L.Dense(24, activation="relu")(inner_in)), name="inner")
    inputs = keras.Input((8,))
    return keras.Model(inputs, L.Dense(5)(inner(inner(L.Dense(8)(inputs)))), name="nested_twice")


def sequential():
    layers = [L.Input((6, 6, 2)), L.Conv2D(16, 3), L.BatchNormalization(), L.Flatten(), L.Dense(16), L.Dense(5)]
    return keras.Sequential(layers, name="sequential")


def embedded():
    inputs = keras.Input((7,), dtype="int32")
    x = L.Conv1D(16, 3, padding="causal")(L.Embedding(11, 16)(inputs))
    return keras.Model(inputs, L.Dense(5)(L.GlobalMaxPooling1D()(x)), name="embedded")


def dense():
    inputs = keras.Input((9,))
    x = L.BatchNormalization()(L.Dense(32, activation="tanh")(inputs))
    return keras.Model(inputs, L.Dense(5)(L.Dense(24, activation="relu")(x)), name="dense")


BUILDERS: dict[str, Callable[[], keras.Model]] = {
    build.__name__: build
    for build in (
        resnet, densenet, squeeze_excite, flattened, transformer, grouped, operations, nested, shared, nested_twice,
        sequential, embedded, dense,
    )
}  # fmt: skip
