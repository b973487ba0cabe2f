"""LeNet-5 (LeCun et al., 1998) in the form of the PWL authors: ReLU, max-pool, linear logits."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from tfpwl.errors import ModelError
from tfpwl.models.layers import Scope, Tensor, check_count, check_counts, check_image_shape, classifier, relu

# LeNet-5 is defined on 32x32, where the sizes are 28-14-10-5. A padded first convolution gives 28x28 images the same
# sizes; on 8x8 both have to pad, or one pixel would be left.
_FIRST_PADDED_BELOW = 32
_BOTH_PADDED_BELOW = 16


def lenet5(
    input_shape: Sequence[int],
    num_classes: int,
    channels: Sequence[int] = (6, 16),
    units: Sequence[int] = (120, 84),
    *,
    kernel: int = 5,
    name: str = "lenet5",
    seed: int = 0,
) -> tuple[keras.Model, ...]:
    """Build a LeNet-5 as four groups: conv+pool, conv+pool, flatten+dense, dense+logits.

    The features are flattened inside the third group, so that the boundary before it keeps its pixels: there the
    converters map 16 channels to 8, where flattened vectors of 400 and 200 would need 80,000 weights each way, more
    than the model has. The boundary between the dense groups is a vector.

    Args:
        input_shape: (height, width, channels) of one image, 4x4 or larger. The first convolution pads images below 32
            pixels, the second those below 16.
        num_classes: number of logits.
        channels: of the two convolutions.
        units: of the two dense layers before the logits.
        kernel: side of both convolutions' kernels.
        name: prefix of every layer's name.
        seed: of the initial weights.

    Returns:
        The four groups, first to last, named ``<name>_g0`` to ``<name>_g3``.

    Raises:
        ModelError: a parameter is not positive, not two of each are given, or the input is too small.

    Example:
        >>> groups = lenet5((28, 28, 1), 10)
        >>> [group.output_shape for group in groups]
        [(None, 14, 14, 6), (None, 5, 5, 16), (None, 120), (None, 10)]
    """
    shape = check_image_shape(input_shape)
    convs = check_counts("channels", channels, length=2)
    denses = check_counts("units", units, length=2)
    check_count("num_classes", num_classes)
    check_count("kernel", kernel)
    paddings = _paddings(min(shape[:2]), kernel)
    groups: list[keras.Model] = []
    for index in range(4):
        scope = Scope(name, index, seed)
        inputs = x = scope.input(shape if index == 0 else groups[-1].output_shape[1:])
        if index < len(convs):
            x = _conv_pool(x, scope, convs[index], kernel, paddings[index])
        else:
            if index == len(convs):
                x = keras.layers.Flatten(name=scope.layer("flatten"))(x)
            x = _dense(x, scope, denses[index - len(convs)])
        if index == 3:
            x = classifier(x, scope, num_classes)
        groups.append(scope.model(inputs, x))
    return tuple(groups)


def _conv_pool(x: Tensor, scope: Scope, channels: int, kernel: int, padding: str) -> Tensor:
    init = scope.he_normal("conv")
    x = keras.layers.Conv2D(channels, kernel, padding=padding, kernel_initializer=init, name=scope.layer("conv"))(x)
    return keras.layers.MaxPooling2D(2, name=scope.layer("maxpool"))(relu(x, scope, "relu"))


def _dense(x: Tensor, scope: Scope, units: int) -> Tensor:
    x = keras.layers.Dense(units, kernel_initializer=scope.he_normal("dense"), name=scope.layer("dense"))(x)
    return relu(x, scope, "relu")


def _paddings(side: int, kernel: int) -> tuple[str, str]:
    paddings = (
        "same" if side < _FIRST_PADDED_BELOW else "valid",
        "same" if side < _BOTH_PADDED_BELOW else "valid",
    )
    left = side
    for padding in paddings:
        left = (left if padding == "same" else left - kernel + 1) // 2
    if left < 1:
        raise ModelError(
            f"Received images of {side} pixels and kernel={kernel}; two convolutions and two pools leave nothing of "
            "them. Give images of at least 4 pixels, or a smaller kernel."
        )
    return paddings
