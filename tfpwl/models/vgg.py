"""VGG with batch normalization (Simonyan & Zisserman, arXiv 1409.1556), one group per stage."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from tfpwl.errors import ModelError
from tfpwl.models.layers import (
    Scope,
    Shape,
    check_count,
    check_image_shape,
    check_stages,
    conv_bn,
    pooled_classifier,
    relu,
)


def vgg(
    input_shape: Sequence[int],
    num_classes: int,
    widths: Sequence[int],
    depths: Sequence[int],
    *,
    name: str = "vgg",
    seed: int = 0,
) -> tuple[keras.Model, ...]:
    """Build a VGG as one group per stage.

    A stage is a run of 3x3 conv-BN-ReLU and a 2x2 max-pool; global average pool and one linear layer follow the last.

    Args:
        input_shape: (height, width, channels) of one image.
        num_classes: number of logits.
        widths: channels of each stage.
        depths: convolutions in each stage.
        name: prefix of every layer's name.
        seed: of the initial weights.

    Returns:
        The groups, first to last, named ``<name>_g0``, ``<name>_g1``, …

    Raises:
        ModelError: a width or depth is not positive, their counts differ, or the input is too small to be pooled so
            often.

    Example:
        >>> groups = vgg((8, 8, 1), 10, widths=(8, 16), depths=(1, 2))
        >>> [group.output_shape for group in groups]
        [(None, 4, 4, 8), (None, 10)]
    """
    shape: Shape = check_image_shape(input_shape)
    widths, depths = check_stages(widths, depths)
    check_count("num_classes", num_classes)
    _check_pools(shape, len(widths))
    groups: list[keras.Model] = []
    for index, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        scope = Scope(name, index, seed)
        inputs = x = scope.input(shape)
        for layer in range(depth):
            x = relu(conv_bn(x, scope, str(layer), width), scope, f"{layer}_relu")
        x = keras.layers.MaxPooling2D(2, name=scope.layer("maxpool"))(x)
        shape = x.shape[1:]
        if index == len(widths) - 1:
            x = pooled_classifier(x, scope, num_classes)
        groups.append(scope.model(inputs, x))
    return tuple(groups)


def _check_pools(shape: Shape, num_stages: int) -> None:
    possible = min(shape[:2]).bit_length() - 1
    if possible < num_stages:
        raise ModelError(
            f"Received input_shape={shape} and {num_stages} stages; an image of {min(shape[:2])} pixels can be "
            f"max-pooled {possible} times. Give at most {possible} widths and depths, or images of at least "
            f"{2**num_stages} pixels."
        )
