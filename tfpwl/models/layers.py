"""What the families share: layer names and seeds, the conv-BN-ReLU run, and checks of their parameters.

Every layer is named ``<model>_g<group>_<what>`` and every initializer gets its own seed, derived from the model's
seed and the layer's place. So the weights depend on the seed alone, never on what was built before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import keras

from tfpwl.errors import ModelError

Shape: TypeAlias = tuple[int, ...]
Tensor: TypeAlias = keras.KerasTensor


@dataclass(frozen=True)
class Scope:
    """Names and seeds for the layers of group ``index`` of the model ``name``."""

    name: str
    index: int
    seed: int

    @property
    def group_name(self) -> str:
        return f"{self.name}_g{self.index}"

    def layer(self, what: str) -> str:
        """The full name of the layer ``what``."""
        return f"{self.group_name}_{what}"

    def layer_seed(self, what: str) -> int:
        """A seed of its own for the layer ``what``; the model's name plays no part, so renaming keeps the weights."""
        digest = hashlib.sha256(f"{self.seed}/g{self.index}/{what}".encode()).digest()
        return int.from_bytes(digest[:4], "big") >> 1  # 31 bits: every backend takes it

    def he_normal(self, what: str) -> keras.initializers.Initializer:
        """He-normal weights for a layer that a ReLU follows."""
        return keras.initializers.HeNormal(seed=self.layer_seed(what))

    def input(self, shape: Shape) -> Tensor:
        """The group's input of ``shape`` (without the batch axis)."""
        return keras.Input(shape, name=self.layer("input"))

    def model(self, inputs: Tensor, outputs: Tensor) -> keras.Model:
        """The group from ``inputs`` to ``outputs``."""
        return keras.Model(inputs, outputs, name=self.group_name)


def conv_bn(x: Tensor, scope: Scope, what: str, channels: int, *, kernel: int = 3, stride: int = 1) -> Tensor:
    """Bias-free convolution and batch normalization; the normalization's offset stands in for the bias."""
    x = keras.layers.Conv2D(
        channels,
        kernel,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer=scope.he_normal(f"{what}_conv"),
        name=scope.layer(f"{what}_conv"),
    )(x)
    return keras.layers.BatchNormalization(momentum=0.9, name=scope.layer(f"{what}_bn"))(x)


def relu(x: Tensor, scope: Scope, what: str) -> Tensor:
    """ReLU under the name ``what``."""
    return keras.layers.ReLU(name=scope.layer(what))(x)


def classifier(x: Tensor, scope: Scope, num_classes: int) -> Tensor:
    """The linear layer that ends every family; its outputs are logits."""
    init = keras.initializers.GlorotUniform(seed=scope.layer_seed("logits"))
    return keras.layers.Dense(num_classes, kernel_initializer=init, name=scope.layer("logits"))(x)


def pooled_classifier(x: Tensor, scope: Scope, num_classes: int) -> Tensor:
    """Global average pool and linear layer."""
    return classifier(keras.layers.GlobalAveragePooling2D(name=scope.layer("pool"))(x), scope, num_classes)


def check_count(what: str, value: object, *, minimum: int = 1) -> int:
    """``value`` as an int of at least ``minimum``.

    Raises:
        ModelError: when it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise ModelError(f"Received {what}={value!r}; expected a whole number of at least {minimum}.")
    return value


def check_counts(what: str, values: object, *, length: int | None = None) -> tuple[int, ...]:
    """``values`` as a tuple of positive ints, ``length`` of them if given.

    Raises:
        ModelError: when it is something else.
    """
    if isinstance(values, str) or not isinstance(values, Sequence) or not values:
        raise ModelError(f"Received {what}={values!r}; expected a list of whole numbers such as [16, 32].")
    if length is not None and len(values) != length:
        raise ModelError(f"Received {what}={list(values)} with {len(values)} numbers; expected {length}.")
    return tuple(check_count(f"{what}[{i}]", value) for i, value in enumerate(values))


def check_stages(widths: object, depths: object) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Widths and depths of a staged family: positive, and as many of one as of the other.

    Raises:
        ModelError: when they are not.
    """
    checked_widths, checked_depths = check_counts("widths", widths), check_counts("depths", depths)
    if len(checked_widths) != len(checked_depths):
        raise ModelError(
            f"Received {len(checked_widths)} widths {list(checked_widths)} and {len(checked_depths)} depths "
            f"{list(checked_depths)}; expected one depth for each width (one stage, one group)."
        )
    return checked_widths, checked_depths


def check_image_shape(input_shape: object) -> tuple[int, int, int]:
    """``input_shape`` as (height, width, channels).

    Raises:
        ModelError: when it is not three positive ints.
    """
    if isinstance(input_shape, str) or not isinstance(input_shape, Sequence) or len(input_shape) != 3:
        raise ModelError(f"Received input_shape={input_shape!r}; expected (height, width, channels).")
    height, width, channels = check_counts("input_shape", tuple(input_shape))
    return height, width, channels
