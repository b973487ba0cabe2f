"""Which weights of a model are built from which kind of template.

A **kind** groups the weights that share templates: for a ViT ``embedding``, ``position``, ``qkv``, ``output``, ``fc1``,
``fc2`` and ``logits``; for a CNN ``stem``, ``conv3x3`` (or whatever side), ``conv1x1``, ``dense`` and ``logits``. First
and last layer are kinds of their own: one of their axes (image channels, classes) has nothing to do with widths.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from tfpwl.errors import ModelError
from tfpwl.wave.kronecker import Shape
from tfpwl.wave.layers import EMBEDDING

# The families' names: <model>_g<group>_[<block><number>_]<what>
_NAME = re.compile(r"^(?P<model>.*)_g(?P<group>\d+)_(?:(?:block|layer)?(?P<block>\d+)_)?(?P<what>.+)$")
_NORMS = (keras.layers.BatchNormalization, keras.layers.LayerNormalization)
_ATTENTION = {"query": "qkv", "key": "qkv", "value": "qkv", "output": "output"}


@dataclass(frozen=True)
class Place:
    """Where a layer of a family is: its group, its block in the group (None outside of blocks), its part there."""

    group: int
    block: int | None
    what: str


@dataclass(frozen=True)
class Kernel:
    """One weight of a layer, seen as a matrix (or one matrix for each spatial position).

    ``index`` is its place in ``layer.weights``; ``shape`` is ``(rows, columns)`` or ``(height, width, rows, columns)``.
    """

    layer: str
    role: str
    kind: str
    index: int
    shape: Shape

    @property
    def name(self) -> str:
        return kernel_name(self.layer, self.role)

    def view(self, value: np.ndarray) -> np.ndarray:
        """The weight in this kernel's ``shape``."""
        return value.reshape(self.shape)


def kernel_name(layer: str, role: str) -> str:
    """The name of a layer's kernel: the layer's, and the role where it has several."""
    return layer if role == "kernel" else f"{layer}/{role}"


def place_of(layer_name: str) -> Place:
    """Read a layer's name as the families write it.

    Raises:
        ModelError: it is not written so.
    """
    match = _NAME.match(layer_name)
    if match is None:
        raise ModelError(
            f"Received a layer named {layer_name!r}; expected the names that tfpwl.models gives, such as "
            "'student_g0_block0_1_conv'. Build the model with tfpwl.models.build_groups."
        )
    block = match["block"]
    return Place(int(match["group"]), None if block is None else int(block), match["what"])


def find_kernels(groups: Sequence[keras.Model]) -> tuple[Kernel, ...]:
    """Every weight of the groups that templates build, first to last.

    The rest, biases, gains and offsets of normalizations, are vectors: they belong to one size, start as in any fresh
    model and train with the scalers. The bias of a ViT's patch embedding is class token plus positions, a matrix
    ``(positions, width)``: the kind ``position``.

    Raises:
        ModelError: a layer has weights that no rule covers.

    Example:
        >>> from tfpwl.models import resnet
        >>> [kernel.kind for kernel in find_kernels(resnet((8, 8, 1), 10, (8, 8), (1, 1)))][:3]
        ['stem', 'conv3x3', 'conv3x3']
    """
    layers = weighted_layers(groups)
    return tuple(kernel for index, layer in enumerate(layers) for kernel in kernels_of(layer, *_ends(index, layers)))


def weighted_layers(groups: Sequence[keras.Model]) -> list[Any]:
    """The layers that hold weights to be built by templates, first to last."""
    return [layer for group in groups for layer in group.layers if layer.weights and not isinstance(layer, _NORMS)]


def _ends(index: int, layers: Sequence[Any]) -> tuple[bool, bool]:
    return index == 0, index == len(layers) - 1


def kernels_of(layer: Any, first: bool, last: bool) -> tuple[Kernel, ...]:
    """The kernels of one layer; ``first`` and ``last`` of the whole model are kinds of their own."""
    if isinstance(layer, keras.layers.Conv2D):
        side = "x".join(map(str, layer.kernel_size))
        return (Kernel(layer.name, "kernel", "stem" if first else f"conv{side}", 0, tuple(layer.kernel.shape)),)
    if isinstance(layer, keras.layers.Dense):
        what = place_of(layer.name).what
        kind = "logits" if last else what if what in ("fc1", "fc2") else "dense"
        return (Kernel(layer.name, "kernel", kind, 0, tuple(layer.kernel.shape)),)
    if isinstance(layer, keras.layers.EinsumDense) and layer.equation == EMBEDDING and layer.bias is not None:
        return (
            Kernel(layer.name, "kernel", "embedding", 0, tuple(layer.kernel.shape)),
            Kernel(layer.name, "position", "position", 1, tuple(layer.bias.shape)),
        )
    if isinstance(layer, keras.layers.MultiHeadAttention):
        return _attention_kernels(layer)
    raise ModelError(
        f"Received layer {layer.name!r} of type {type(layer).__name__} with weights; templates are known for Conv2D, "
        "Dense, the patch embedding and MultiHeadAttention."
    )


def _attention_kernels(layer: Any) -> tuple[Kernel, ...]:
    kernels = []
    for role, kind in _ATTENTION.items():
        variable = getattr(layer, f"{role}_dense").kernel
        index = next(i for i, weight in enumerate(layer.weights) if weight is variable)
        *rows, columns = variable.shape if role == "output" else (variable.shape[0], np.prod(variable.shape[1:]))
        kernels.append(Kernel(layer.name, role, kind, index, (int(np.prod(rows)), int(columns))))
    return tuple(kernels)
