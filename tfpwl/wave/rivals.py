"""Other ways to start a student, for comparison on the same budget: random, layers of the teacher, pruned teacher."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np

from tfpwl.wave.channels import Axes, Axis, Channels, evenly, most_important
from tfpwl.wave.kinds import find_kernels
from tfpwl.wave.matching import match_layers

Groups = Sequence[keras.Model]
Choose = Callable[[Axis, int, int], np.ndarray]
_CUT_AT = 2.0  # deviations, as in Keras' truncated normal
_CUT_DEVIATION = 0.8796  # of a normal cut there


def start_random(student: Groups, *, seed: int) -> None:
    """Draw every kernel of ``student`` anew from a truncated normal of the deviation that its family gives it."""
    rng = np.random.default_rng(seed)
    kernels = {(kernel.layer, kernel.index) for kernel in find_kernels(student)}
    for group in student:
        for layer in group.layers:
            layer.set_weights(
                [
                    _truncated_normal(rng, value) if (layer.name, index) in kernels else value
                    for index, value in enumerate(layer.get_weights())
                ]
            )


def _truncated_normal(rng: np.random.Generator, like: np.ndarray) -> np.ndarray:
    draw = rng.normal(size=like.shape)
    while (outside := np.abs(draw) > _CUT_AT).any():
        draw[outside] = rng.normal(size=int(outside.sum()))
    return (draw * like.std() / _CUT_DEVIATION).astype(like.dtype)


def start_by_selection(student: Groups, teacher: Groups) -> None:
    """Copy evenly spaced layers and channels of ``teacher`` ("weight selection", Xu et al., arXiv 2311.18823).

    Args:
        student: fresh groups; their weights are replaced.
        teacher: trained groups of the same family.

    Raises:
        ModelError: the two are of different families, or of other numbers of groups in a staged family.
    """
    _copy(student, teacher, lambda axis, size, wanted: evenly(size, wanted))


def start_by_pruning(student: Groups, teacher: Groups) -> None:
    """Copy evenly spaced layers of ``teacher`` and of each the channels with the largest L1 norms.

    Structured pruning to the student's very shape (Li et al., arXiv 1608.08710), without the fine-tuning in between.

    Args:
        student: fresh groups; their weights are replaced.
        teacher: trained groups of the same family.

    Raises:
        ModelError: as :func:`start_by_selection`.
    """
    scores = Channels(teacher).importance()
    _copy(student, teacher, lambda axis, size, wanted: most_important(scores, axis, size, wanted))


def _copy(student: Groups, teacher: Groups, choose: Choose) -> None:
    sources = match_layers(student, teacher)
    axes = Channels(teacher).axes
    by_name = {layer.name: layer for group in teacher for layer in group.layers}
    for group in student:
        for layer in group.layers:
            if not layer.weights or layer.name not in sources:
                continue
            name = sources[layer.name]
            pairs = zip(layer.get_weights(), by_name[name].get_weights(), axes[name], strict=True)
            layer.set_weights([_cut(old, new.shape, weight_axes, choose) for new, old, weight_axes in pairs])


def _cut(weight: np.ndarray, shape: Sequence[int], axes: Axes, choose: Choose) -> np.ndarray:
    for position, (axis, wanted) in enumerate(zip(axes, shape, strict=True)):
        size = weight.shape[position]
        if axis is None or size == wanted:
            continue
        channels = size // axis.repeats
        chosen = choose(axis, channels, wanted // axis.repeats)
        indices = (np.arange(axis.repeats)[:, None] * channels + chosen).ravel()
        weight = np.take(weight, indices, axis=position)
    return weight
