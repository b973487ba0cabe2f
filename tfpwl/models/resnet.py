"""ResNet of basic blocks for small images (He et al., arXiv 1512.03385), one group per stage."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from tfpwl.errors import ModelError
from tfpwl.models.layers import (
    Scope,
    Shape,
    Tensor,
    check_count,
    check_image_shape,
    check_stages,
    conv_bn,
    pooled_classifier,
    relu,
)


def resnet(
    input_shape: Sequence[int],
    num_classes: int,
    widths: Sequence[int],
    depths: Sequence[int],
    *,
    stem: int | None = None,
    name: str = "resnet",
    seed: int = 0,
) -> tuple[keras.Model, ...]:
    """Build a ResNet as one group per stage; the default family for small images.

    A 3x3 stem convolution without pooling belongs to the first group, global average pool and linear layer to the
    last. Every stage after the first halves height and width. A block is conv-BN-ReLU-conv-BN plus its input, which
    passes a 1x1 convolution and BN where stride or width changes.

    Args:
        input_shape: (height, width, channels) of one image.
        num_classes: number of logits.
        widths: channels of each stage.
        depths: blocks in each stage.
        stem: channels of the stem convolution; ``widths[0]`` if not given.
        name: prefix of every layer's name.
        seed: of the initial weights.

    Returns:
        The groups, first to last, named ``<name>_g0``, ``<name>_g1``, …

    Raises:
        ModelError: a width or depth is not positive, their counts differ, or the input is too small to be halved.

    Example:
        >>> groups = resnet((8, 8, 1), 10, widths=(8, 16), depths=(1, 1))
        >>> [group.output_shape for group in groups]
        [(None, 8, 8, 8), (None, 10)]
    """
    shape: Shape = check_image_shape(input_shape)
    widths, depths = check_stages(widths, depths)
    check_count("num_classes", num_classes)
    stem = widths[0] if stem is None else check_count("stem", stem)
    _check_halvings(shape, len(widths))
    groups: list[keras.Model] = []
    for index, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        scope = Scope(name, index, seed)
        inputs = x = scope.input(shape)
        if index == 0:
            x = relu(conv_bn(x, scope, "stem", stem), scope, "stem_relu")
        x = _stage(x, scope, width, depth, stride=1 if index == 0 else 2)
        shape = x.shape[1:]
        if index == len(widths) - 1:
            x = pooled_classifier(x, scope, num_classes)
        groups.append(scope.model(inputs, x))
    return tuple(groups)


def _stage(x: Tensor, scope: Scope, width: int, depth: int, *, stride: int) -> Tensor:
    for block in range(depth):
        x = _basic_block(x, scope, f"block{block}", width, stride if block == 0 else 1)
    return x


def _basic_block(x: Tensor, scope: Scope, what: str, width: int, stride: int) -> Tensor:
    shortcut = x
    if stride != 1 or x.shape[-1] != width:
        shortcut = conv_bn(x, scope, f"{what}_shortcut", width, kernel=1, stride=stride)
    x = relu(conv_bn(x, scope, f"{what}_1", width, stride=stride), scope, f"{what}_1_relu")
    x = conv_bn(x, scope, f"{what}_2", width)
    x = keras.layers.Add(name=scope.layer(f"{what}_add"))([x, shortcut])
    return relu(x, scope, f"{what}_relu")


def _check_halvings(shape: Shape, num_stages: int) -> None:
    side = min(shape[:2])
    for stage in range(1, num_stages):
        if side < 2:
            raise ModelError(
                f"Received input_shape={shape} and {num_stages} stages; stage {stage} would halve an image of "
                f"1 pixel. Give at most {stage} widths and depths, or larger images."
            )
        side = (side + 1) // 2
