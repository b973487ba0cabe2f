"""Which axis of which weight runs over the same channels: what a rival needs to cut a teacher to a student's widths.

The channels of a residual stream are one **space**, read and written by many layers; the units between two layers of a
block are another. A cut keeps the same channels of a space everywhere, or the network falls apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from tfpwl.wave.kinds import kernels_of

Groups = Sequence[keras.Model]


@dataclass(frozen=True)
class Axis:
    """One axis of a weight: its space, and how often the space's channels repeat along it (behind a Flatten)."""

    space: str
    repeats: int = 1


Axes = tuple[Axis | None, ...]  # of one weight; None is an axis that no width touches


class Channels:
    """The spaces of a model of a known family.

    Args:
        groups: of the model, first to last.
    """

    def __init__(self, groups: Groups) -> None:
        self._groups = groups
        self._parent: dict[str, str] = {}
        self.axes: dict[str, tuple[Axes, ...]] = {}
        carried = self._space("image")
        for group in groups:
            carried = self._walk(group, carried)
        self.axes = {name: tuple(map(self._merged, weights)) for name, weights in self.axes.items()}

    def importance(self) -> dict[str, np.ndarray]:
        """L1 norm of everything that writes or reads a channel, by space (Li et al., arXiv 1608.08710)."""
        scores: dict[str, np.ndarray] = {}
        for group in self._groups:
            for layer in group.layers:
                for weight, axes in zip(layer.get_weights(), self.axes.get(layer.name, ()), strict=True):
                    if sum(axis is not None for axis in axes) < 2:
                        continue  # biases and normalizations say little about a channel
                    self._add_scores(scores, weight, axes)
        return scores

    @staticmethod
    def _add_scores(scores: dict[str, np.ndarray], weight: np.ndarray, axes: Axes) -> None:
        for position, axis in enumerate(axes):
            if axis is not None:
                norm = np.abs(weight).sum(axis=tuple(i for i in range(weight.ndim) if i != position))
                norm = norm.reshape(axis.repeats, -1).sum(axis=0)
                scores[axis.space] = scores.get(axis.space, 0.0) + norm

    def _walk(self, group: keras.Model, carried: Axis) -> Axis:
        found: dict[int, Axis] = {}
        result = carried
        for layer in group.layers:
            node = layer._inbound_nodes[0]
            inputs = [found[id(tensor)] for tensor in node.arguments.keras_tensors]
            result = carried if isinstance(layer, keras.layers.InputLayer) else self._through(layer, inputs)
            for tensor in node.outputs:
                found[id(tensor)] = result
        return found[id(group.outputs[0])]

    def _through(self, layer: Any, inputs: Sequence[Axis]) -> Axis:
        source = inputs[0]
        if isinstance(layer, keras.layers.Add):
            for other in inputs[1:]:
                self._parent[self._root(other.space)] = self._root(source.space)
            return source
        if isinstance(layer, keras.layers.Flatten):
            return Axis(source.space, source.repeats * int(np.prod(layer.input.shape[1:-1])))
        if not layer.weights:
            return source
        if isinstance(layer, (keras.layers.BatchNormalization, keras.layers.LayerNormalization)):
            self.axes[layer.name] = tuple((source,) for _ in layer.weights)
            return source
        kernels_of(layer, first=False, last=False)  # refuses what no rule covers
        made = self._space(layer.name)
        self.axes[layer.name] = self._axes(layer, source, made)
        return made

    def _axes(self, layer: Any, source: Axis, made: Axis) -> tuple[Axes, ...]:
        if isinstance(layer, keras.layers.MultiHeadAttention):
            return self._attention_axes(layer, source, made)
        if isinstance(layer, keras.layers.EinsumDense):
            return (None, made), (None, made)  # its rows are the pixels of a patch
        kernel: Axes = (source, made) if isinstance(layer, keras.layers.Dense) else (None, None, source, made)
        return (kernel, (made,))[: len(layer.weights)]

    def _attention_axes(self, layer: Any, source: Axis, made: Axis) -> tuple[Axes, ...]:
        heads, inside = self._space(f"{layer.name}/heads"), self._space(f"{layer.name}/head")
        by_variable: dict[int, Axes] = {}
        for role in ("query", "key", "value"):
            dense = getattr(layer, f"{role}_dense")
            by_variable |= {id(dense.kernel): (source, heads, inside), id(dense.bias): (heads, inside)}
        dense = layer.output_dense
        by_variable |= {id(dense.kernel): (heads, inside, made), id(dense.bias): (made,)}
        return tuple(by_variable[id(weight)] for weight in layer.weights)

    def _space(self, name: str) -> Axis:
        self._parent[name] = name
        return Axis(name)

    def _root(self, space: str) -> str:
        while self._parent[space] != space:
            space = self._parent[space]
        return space

    def _merged(self, axes: Axes) -> Axes:
        return tuple(None if axis is None else Axis(self._root(axis.space), axis.repeats) for axis in axes)


def evenly(size: int, wanted: int) -> np.ndarray:
    """``wanted`` indices spread evenly over ``size`` (repeating where more are wanted than there are)."""
    return np.arange(wanted) * size // wanted


def most_important(scores: Mapping[str, np.ndarray], axis: Axis, size: int, wanted: int) -> np.ndarray:
    """The ``wanted`` channels of the axis' space that score highest, in their old order."""
    if wanted >= size:
        return evenly(size, wanted)
    return np.sort(np.argsort(-scores[axis.space], kind="stable")[:wanted])
