"""How much each slice of channels matters: stateless scores of arrays, and their sum over the layers of a group.

A score function takes one weight and one of its axes and gives one number per index of that axis. A slice of a group
touches many weights (the kernel that makes the channel, the normalization after it, every kernel that reads it); their
scores are divided by the layer's mean, so that no layer counts more for its scale, and averaged over the weights, as
the group importance of DepGraph (arXiv 2301.12900, eq. 5).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from tfpwl.errors import ModelError
from tfpwl.prune.graph import DependencyGraph
from tfpwl.prune.trace import KERNEL, SCALE, Slot

Array = npt.NDArray[Any]
Score = Callable[[Array, int], Array]


def l1(weight: Array, axis: int) -> Array:
    """Sum of absolute values of each slice (Li et al., arXiv 1608.08710).

    Example:
        >>> l1(np.array([[1.0, -2.0], [3.0, 4.0]]), axis=1).tolist()
        [4.0, 6.0]
    """
    return np.asarray(np.abs(weight).sum(axis=_others(weight, axis)))


def l2(weight: Array, axis: int) -> Array:
    """Euclidean norm of each slice.

    Example:
        >>> l2(np.array([[3.0], [4.0]]), axis=1).tolist()
        [5.0]
    """
    return np.asarray(np.sqrt(np.square(weight, dtype=np.float64).sum(axis=_others(weight, axis))))


def taylor(weight: Array, gradient: Array, axis: int) -> Array:
    """First-order change of the loss when a slice becomes zero: ``|Σ w · ∂L/∂w|`` (Molchanov et al., arXiv 1906.10771).

    Example:
        >>> taylor(np.array([[1.0], [2.0]]), np.array([[1.0], [-1.0]]), axis=1).tolist()
        [1.0]
    """
    return np.asarray(np.abs((weight * gradient).sum(axis=_others(weight, axis))))


def _others(weight: Array, axis: int) -> tuple[int, ...]:
    return tuple(other for other in range(weight.ndim) if other != axis)


# Which weights a name looks at, and with what. BatchNorm's scale alone says nothing of layers without one; those
# fall back on their kernels (Liu et al., Network Slimming, arXiv 1708.06519).
_BY_NAME: Mapping[str, tuple[Score, tuple[str, ...]]] = MappingProxyType(
    {"l1": (l1, (KERNEL, SCALE)), "l2": (l2, (KERNEL, SCALE)), "bn_scale": (l1, (SCALE,))}
)
NAMES = (*_BY_NAME, "taylor", "random")


@dataclass(frozen=True)
class Calibration:
    """What the Taylor importance needs: examples, their labels, and ``loss(y, model output) -> scalar or vector``."""

    x: Array
    y: Array
    loss: Callable[[Any, Any], Any]


def score_slices(
    graph: DependencyGraph,
    importance: str | Score,
    *,
    model: keras.Model | None = None,
    calibration: Calibration | None = None,
    seed: int = 0,
) -> npt.NDArray[np.float64]:
    """The importance of every slice, at the place of its root; units that may not go have infinity.

    Args:
        graph: of the model.
        importance: a name of ``NAMES``, or a function such as :func:`l2`.
        model: the model itself; needed by ``taylor``.
        calibration: needed by ``taylor``.
        seed: of ``random``.

    Raises:
        ModelError: the name is not known, or ``taylor`` lacks its data.
    """
    open_roots = np.concatenate([group.roots for group in graph.groups]) if graph.groups else np.zeros(0, np.int64)
    scores = np.full(len(graph.root), np.inf)
    scores[open_roots] = 0.0
    if importance == "random":
        scores[open_roots] = np.random.default_rng(seed).random(len(open_roots))
        return scores
    if importance == "taylor":
        vectors = _taylor_vectors(graph, model, calibration)
    else:
        score, kinds = _find(importance)
        vectors = [_vector(slot, axis, score) for slot, axis in _places(graph, kinds)]
    found = _mean_of_layers(graph, vectors)
    if importance == "bn_scale":
        fallback = _mean_of_layers(graph, [_vector(slot, axis, l1) for slot, axis in _places(graph, (KERNEL,))])
        found = np.where(np.isnan(found), fallback, found)
    scores[open_roots] = np.nan_to_num(found[open_roots], nan=0.0)
    return scores


def _find(importance: str | Score) -> tuple[Score, tuple[str, ...]]:
    if callable(importance):
        return importance, (KERNEL, SCALE)
    if importance not in _BY_NAME:
        raise ModelError(f"Unknown importance {importance!r}; expected one of {', '.join(NAMES)}.")
    return _BY_NAME[importance]


def _places(graph: DependencyGraph, kinds: Sequence[str]) -> list[tuple[Slot, int]]:
    return [(slot, axis) for slot in graph.slots if slot.kind in kinds for axis in slot.axes]


def _vector(slot: Slot, axis: int, score: Score) -> tuple[Array, Array]:
    return slot.axes[axis], score(np.asarray(slot.variable.value, np.float32), axis)


def _mean_of_layers(graph: DependencyGraph, vectors: Sequence[tuple[Array, Array]]) -> npt.NDArray[np.float64]:
    """Average over weights, each divided by its mean; NaN for a slice that none of them touches."""
    size = len(graph.root)
    total, touched = np.zeros(size), np.zeros(size)
    for units, values in vectors:
        roots = graph.root[units]
        mean = float(values.mean()) if values.size else 0.0
        # Several indices of one slice (a flatten, a channel group) count as one layer: their mean.
        count = np.bincount(roots, minlength=size)
        summed = np.bincount(roots, weights=values / mean if mean > 0 else values, minlength=size)
        there = count > 0
        total[there] += summed[there] / count[there]
        touched += there
    return np.divide(total, touched, out=np.full(size, np.nan), where=touched > 0)


def _taylor_vectors(
    graph: DependencyGraph, model: keras.Model | None, calibration: Calibration | None
) -> list[tuple[Array, Array]]:
    if model is None or calibration is None:
        raise ModelError("importance='taylor' needs examples and a loss: give calibration=Calibration(x, y, loss).")
    places = [(slot, axis) for slot, axis in _places(graph, (KERNEL, SCALE)) if slot.variable.trainable]
    variables = {id(slot.variable): slot.variable for slot, _ in places}
    gradients = dict(zip(variables, _gradients(model, list(variables.values()), calibration), strict=True))
    return [
        (
            slot.axes[axis],
            taylor(np.asarray(slot.variable.value, np.float32), gradients[id(slot.variable)], axis),
        )
        for slot, axis in places
    ]


def _gradients(model: keras.Model, variables: list[Any], calibration: Calibration) -> list[Array]:
    if keras.backend.backend() != "tensorflow":
        raise ModelError(
            f"importance='taylor' needs the TensorFlow backend; Keras runs on {keras.backend.backend()!r}."
        )
    import tensorflow as tf  # noqa: PLC0415 - only this importance needs it

    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(calibration.loss(calibration.y, model(calibration.x, training=False)))
    found = tape.gradient(loss, [variable.value for variable in variables])
    return [
        np.zeros(variable.shape, np.float32) if gradient is None else np.asarray(tf.convert_to_tensor(gradient))
        for variable, gradient in zip(variables, found, strict=True)
    ]
