"""Vision transformer (Dosovitskiy et al., arXiv 2010.11929), pre-norm, cut into groups of equally many layers.

Only stock Keras layers, so that a saved group loads without tfpwl. Stock Keras has no class token and no position
embedding; here both are one bias: an empty patch is put before the others, and the patch projection is an
``EinsumDense`` whose bias has a vector for every position. At the empty patch it is class token plus position
embedding, elsewhere projection bias plus position embedding: terms that only ever occur as that sum. So the model
computes what the paper's does with ``2 * width`` parameters fewer, and runs as one XNNPACK partition.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras

from tfpwl.errors import ModelError
from tfpwl.models.layers import Scope, Shape, Tensor, check_count, check_image_shape, classifier

_EPSILON = 1e-6  # of every layer normalization, as in the paper's code


def vit(
    input_shape: Sequence[int],
    num_classes: int,
    *,
    patch: int,
    width: int,
    depth: int,
    heads: int,
    mlp: int,
    groups: int,
    name: str = "vit",
    seed: int = 0,
) -> tuple[keras.Model, ...]:
    """Build a vision transformer as ``groups`` groups of ``depth / groups`` encoder layers.

    Patches, class token and position embedding belong to the first group; the last one ends with a layer normalization
    of the class token and the linear layer. Boundaries are (patches + 1, width).

    Args:
        input_shape: (height, width, channels) of one image; height and width are multiples of ``patch``.
        num_classes: number of logits.
        patch: side of a patch in pixels.
        width: of a token.
        depth: number of encoder layers, a multiple of ``groups``.
        heads: of each attention; ``width`` is a multiple.
        mlp: units of each layer's hidden dense layer.
        groups: number of groups.
        name: prefix of every layer's name.
        seed: of the initial weights.

    Returns:
        The groups, first to last, named ``<name>_g0``, ``<name>_g1``, …

    Raises:
        ModelError: a parameter is not positive, or one does not divide another.

    Example:
        >>> models = vit((8, 8, 1), 10, patch=4, width=8, depth=2, heads=2, mlp=16, groups=2)
        >>> [model.output_shape for model in models]
        [(None, 5, 8), (None, 10)]
    """
    shape: Shape = check_image_shape(input_shape)
    counts = {"num_classes": num_classes, "patch": patch, "width": width, "depth": depth}
    for what, value in {**counts, "heads": heads, "mlp": mlp, "groups": groups}.items():
        check_count(what, value)
    _check_divisions(shape, patch=patch, width=width, depth=depth, heads=heads, groups=groups)
    models: list[keras.Model] = []
    for index in range(groups):
        scope = Scope(name, index, seed)
        inputs = x = scope.input(shape)
        if index == 0:
            x = _embed_patches(x, scope, patch, width)
        for layer in range(depth // groups):
            x = _encoder_layer(x, scope, f"layer{layer}", heads, mlp)
        shape = x.shape[1:]
        if index == groups - 1:
            x = _class_logits(x, scope, num_classes)
        models.append(scope.model(inputs, x))
    return tuple(models)


def _embed_patches(x: Tensor, scope: Scope, patch: int, width: int) -> Tensor:
    height, image_width, channels = x.shape[1:]
    rows, columns = height // patch, image_width // patch
    # (rows, patch, columns, patch, channels) -> (rows, columns, patch, patch, channels): one row of numbers per patch.
    x = keras.layers.Reshape((rows, patch, columns, patch * channels), name=scope.layer("patch_rows"))(x)
    x = keras.layers.Permute((1, 3, 2, 4), name=scope.layer("patch_order"))(x)
    x = keras.layers.Reshape((rows * columns, patch * patch * channels), name=scope.layer("patches"))(x)
    x = keras.layers.ZeroPadding1D((1, 0), name=scope.layer("class_position"))(x)
    return keras.layers.EinsumDense(
        "btp,pd->btd",
        output_shape=(rows * columns + 1, width),
        bias_axes="td",
        kernel_initializer=keras.initializers.GlorotUniform(seed=scope.layer_seed("embedding")),
        bias_initializer=keras.initializers.TruncatedNormal(stddev=0.02, seed=scope.layer_seed("position")),
        name=scope.layer("embedding"),
    )(x)


def _encoder_layer(x: Tensor, scope: Scope, what: str, heads: int, mlp: int) -> Tensor:
    width = x.shape[-1]
    y = _norm(x, scope, f"{what}_norm1")
    y = _attention(y, scope, f"{what}_attention", heads)
    x = keras.layers.Add(name=scope.layer(f"{what}_add1"))([x, y])
    y = _norm(x, scope, f"{what}_norm2")
    y = _dense(y, scope, f"{what}_fc1", mlp)
    y = keras.layers.Activation("gelu", name=scope.layer(f"{what}_gelu"))(y)
    y = _dense(y, scope, f"{what}_fc2", width)
    return keras.layers.Add(name=scope.layer(f"{what}_add2"))([x, y])


def _attention(x: Tensor, scope: Scope, what: str, heads: int) -> Tensor:
    width = x.shape[-1]
    layer = keras.layers.MultiHeadAttention(heads, width // heads, kernel_initializer="zeros", name=scope.layer(what))
    y = layer(x, x)
    # The layer would copy one seeded initializer into all four projections, so that query and key start out equal, and
    # Glorot would read their rank-3 kernels as convolutions and scale them far too small.
    for role in ("query", "key", "value", "output"):
        glorot = keras.initializers.GlorotUniform(seed=scope.layer_seed(f"{what}_{role}"))
        kernel = getattr(layer, f"{role}_dense").kernel
        kernel.assign(keras.ops.reshape(glorot((width, width)), kernel.shape))
    return y


def _class_logits(x: Tensor, scope: Scope, num_classes: int) -> Tensor:
    positions, width = x.shape[1:]
    x = keras.layers.Cropping1D((0, positions - 1), name=scope.layer("class_token"))(x)
    x = keras.layers.Reshape((width,), name=scope.layer("class_vector"))(x)
    return classifier(_norm(x, scope, "norm"), scope, num_classes)


def _norm(x: Tensor, scope: Scope, what: str) -> Tensor:
    return keras.layers.LayerNormalization(epsilon=_EPSILON, name=scope.layer(what))(x)


def _dense(x: Tensor, scope: Scope, what: str, units: int) -> Tensor:
    init = keras.initializers.GlorotUniform(seed=scope.layer_seed(what))
    return keras.layers.Dense(units, kernel_initializer=init, name=scope.layer(what))(x)


def _check_divisions(shape: Shape, *, patch: int, width: int, depth: int, heads: int, groups: int) -> None:
    for what, value, divisor_name, divisor, remedy in (
        ("image height", shape[0], "patch", patch, "Resize the images or change the patch."),
        ("image width", shape[1], "patch", patch, "Resize the images or change the patch."),
        ("width", width, "heads", heads, "Every head takes an equal part of the width."),
        ("depth", depth, "groups", groups, "Every group takes equally many layers."),
    ):
        if value % divisor:
            raise ModelError(
                f"Received {what} {value} and {divisor_name}={divisor}; expected a multiple of {divisor}. {remedy}"
            )
