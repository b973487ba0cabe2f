"""Sums of Kronecker products: the rule by which templates and scalers make a weight, and the shapes it allows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from keras import ops

from tfpwl.errors import ModelError

Tensor = Any  # a tensor of whichever backend Keras runs on
Shape = tuple[int, ...]


def kronecker_sum(scalers: Tensor, templates: Tensor) -> Tensor:
    """``W = Σ_k S_k ⊗ T_k`` (WAVE, arXiv 2406.17503): every ``p x q`` block of ``W`` is a weighted sum of templates.

    Args:
        scalers: ``(num_templates, r, c)``.
        templates: ``(num_templates, p, q)``, or ``(num_templates, height, width, p, q)`` for convolutions: there the
            product runs over the two channel axes, and each spatial position has a product of its own.

    Returns:
        ``(r * p, c * q)``, or ``(height, width, r * p, c * q)``.

    Example:
        >>> import numpy as np
        >>> s, t = np.ones((2, 2, 1), "float32"), np.ones((2, 3, 4), "float32")
        >>> tuple(kronecker_sum(s, t).shape)
        (6, 4)
    """
    num, r, c = scalers.shape
    *spatial, p, q = templates.shape[1:]
    # One matrix product over the templates instead of a big product for each: (blocks, K) @ (K, numbers of a block).
    blocks = ops.matmul(ops.transpose(ops.reshape(scalers, (num, r * c))), ops.reshape(templates, (num, -1)))
    blocks = ops.reshape(blocks, (r, c, *spatial, p, q))
    n = len(spatial)
    weight = ops.transpose(blocks, (*range(2, 2 + n), 0, 2 + n, 1, 3 + n))
    return ops.reshape(weight, (*spatial, r * p, c * q))


def scaler_shape(weight: Shape, template: Shape, what: str) -> tuple[int, int]:
    """``(r, c)`` of the scalers that make a weight from templates.

    Args:
        weight: ``(rows, columns)`` or ``(height, width, rows, columns)``.
        template: ``(p, q)`` or ``(height, width, p, q)``.
        what: names the weight in errors.

    Raises:
        ModelError: spatial sizes differ, or a template's side does not divide the weight's.
    """
    if weight[:-2] != template[:-2]:
        raise ModelError(f"{what}: received a kernel of shape {weight}, and templates of {template}; sides must agree.")
    for axis, size, side in (("inputs", weight[-2], template[-2]), ("outputs", weight[-1], template[-1])):
        if size % side:
            raise ModelError(
                f"{what}: received {size} {axis}; the templates of this kind are {template[-2]}x{template[-1]}, so "
                f"expected a multiple of {side}. {nearest_multiples(size, side)}"
            )
    return weight[-2] // template[-2], weight[-1] // template[-1]


def nearest_multiples(size: int, side: int) -> str:
    """A sentence that names the multiples of ``side`` next to ``size``."""
    below, above = size // side * side, (size // side + 1) * side
    return f"The nearest that work: {below} and {above}." if below else f"The smallest that works: {above}."


def common_shape(weights: Sequence[Shape]) -> Shape:
    """The largest template that divides all weights of one kind.

    Raises:
        ModelError: spatial sizes differ.
    """
    spatial = {weight[:-2] for weight in weights}
    if len(spatial) > 1:
        raise ModelError(f"Received kernels of sides {sorted(spatial)} for one kind of template; expected one side.")
    return (*spatial.pop(), math.gcd(*(w[-2] for w in weights)), math.gcd(*(w[-1] for w in weights)))
