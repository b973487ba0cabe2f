"""Channels of a boundary brought to like ranges, exactly: a better start for int8 that costs no training.

A boundary has one scale for all of its channels, so one channel with large values leaves the others a few of the 256
levels. Dividing channel ``c`` by ``f_c > 0`` where it is written and multiplying the weights that read it by ``f_c``
changes no answer, because what lies between (ReLU, pooling, additions) commutes with positive factors. This is the
cross-layer equalisation of Nagel et al. (arXiv 1906.04721, section 4.1) at the boundaries of a pair, where writers and
readers are the groups of one side and the converters; the factors balance activations against the weights that read
them, as in Xiao et al. (SmoothQuant, arXiv 2211.10438, equation 4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from tfpwl.errors import QuantizationError
from tfpwl.mix import Mix
from tfpwl.pairs import ModelPair
from tfpwl.quantize.chain import End, Run, ends, runs
from tfpwl.quantize.folded import as_pair, folded_models
from tfpwl.quantize.twin import is_plain_relu

# A channel that hardly ever fires must not be blown up to the size of the others.
_SMALLEST_SHARE = 1e-3
_BATCH = 256
_SIDES = ("student", "teacher")


@dataclass(frozen=True)
class Equalized:
    """The pair with like ranges, and what was done at each end of a boundary.

    Attributes:
        pair: float, batch normalizations folded; it answers as the pair handed in did.
        spread: by end, (before, after): the largest channel's range over the median channel's.
        skipped: by end, why its channels could not be scaled.
    """

    pair: ModelPair
    spread: Mapping[End, tuple[float, float]]
    skipped: Mapping[End, str]


def equalize(pair: ModelPair, x: np.ndarray, mixes: Sequence[Mix]) -> Equalized:
    """Bring the channels of every boundary to like ranges; the pair handed in is not changed.

    Args:
        pair: a trained pair.
        x: preprocessed images, ``(n, *input shape)``; some hundreds.
        mixes: whose data counts: those of the path.

    Returns:
        The new pair. An end at which channels cannot be scaled exactly (one that a skip connection carries over the
        boundary, or a normalization reads) keeps its ranges and is named in ``skipped``.

    Example:
        >>> balanced = equalize(pair, x[:512], path(prefix_order(pair.num_groups)))    # doctest: +SKIP
        >>> balanced.spread[End(1, "teacher")]                                     # doctest: +SKIP
        (77.3, 1.3)
    """
    models = folded_models(pair)
    before = channel_ranges(models, x, mixes)
    skipped: dict[End, str] = {}
    spread: dict[End, tuple[float, float]] = {}
    for boundary in pair.boundaries:
        sides = [End(boundary.index, side) for side in _SIDES]
        for together in [[side] for side in sides] if boundary.needs_converters else [sides]:
            try:
                carriers = _carriers(models, together, pair.num_groups)
            except _CannotScale as exc:
                skipped |= dict.fromkeys(together, str(exc))
                continue
            ranges = np.max([before[end] for end in together if end in before], axis=0)
            factors = _factors(ranges, carriers)
            _scale(carriers, factors)
            spread |= dict.fromkeys(together, (_spread(ranges), _spread(ranges / factors)))
    return Equalized(as_pair(models), spread, skipped)


def scale_channels(pair: ModelPair, end: End, factors: np.ndarray) -> ModelPair:
    """A pair whose channels at ``end`` are divided by ``factors`` and which answers as before.

    Args:
        pair: any pair; it is not changed.
        end: where.
        factors: one positive number per channel.

    Raises:
        QuantizationError: the channels cannot be scaled there exactly.
    """
    models = folded_models(pair)
    try:
        # Without converters a tensor goes from one side's files to the other's: both sides are one end.
        sides = [end] if pair.boundaries[end.index].needs_converters else [End(end.index, s) for s in _SIDES]
        _scale(_carriers(models, sides, pair.num_groups), np.asarray(factors, np.float64))
    except _CannotScale as exc:
        raise QuantizationError(f"The channels of {end} cannot be scaled: {exc}.") from exc
    return as_pair(models)


def channel_ranges(models: Mapping[str, keras.Model], x: np.ndarray, mixes: Sequence[Mix]) -> dict[End, np.ndarray]:
    """Largest absolute value of each channel at every end that the mixes reach, ``(channels,)`` in float64."""
    found: dict[End, np.ndarray] = {}
    num_groups = len(mixes[0])

    def visit(run: Run, features: np.ndarray) -> None:
        y = np.asarray(models[run.stem](features, training=False))
        end = ends(run.stem, num_groups)[1]
        if end is not None:
            seen = np.abs(y).reshape(-1, y.shape[-1]).max(axis=0).astype(np.float64)
            found[end] = np.maximum(found[end], seen) if end in found else seen
        for following in run.following:
            visit(following, y)

    for start in range(0, len(x), _BATCH):
        for run in runs(models, mixes):
            visit(run, x[start : start + _BATCH])
    return found


class _CannotScale(Exception):
    """Channels are tied to something that cannot take a factor."""


@dataclass(frozen=True)
class _Carriers:
    """The layers that write the channels and those that read them."""

    writers: tuple[keras.layers.Layer, ...]
    readers: tuple[keras.layers.Layer, ...]


def _carriers(models: Mapping[str, keras.Model], together: Sequence[End], num_groups: int) -> _Carriers:
    writers: list[Any] = []
    readers: list[Any] = []
    for stem, model in models.items():
        before, after = ends(stem, num_groups)
        at_input, at_output = before in together, after in together
        if at_input or at_output:
            wrote, read = _spread_through(model, at_input=at_input, at_output=at_output)
            writers += wrote
            readers += read
    return _Carriers(tuple(writers), tuple(readers))


def _spread_through(model: keras.Model, *, at_input: bool, at_output: bool) -> tuple[list[Any], list[Any]]:
    """The layers of one model between which a factor per channel has to be carried, found by walking the graph."""
    source, target = model.inputs[0], model.outputs[0]
    allowed = {id(source)} if at_input else set()
    allowed |= {id(target)} if at_output else set()
    open_tensors = [source] * at_input + [target] * at_output
    seen: set[int] = set()
    writers: dict[str, Any] = {}
    readers: dict[str, Any] = {}
    while open_tensors:
        tensor = open_tensors.pop()
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        if id(tensor) in (id(source), id(target)) and id(tensor) not in allowed:
            raise _CannotScale(f"in {model.name!r} they go from one boundary through to the next")
        producer = tensor._keras_history.operation
        if _absorbs(producer):
            writers[producer.name] = producer
        elif not isinstance(producer, keras.layers.InputLayer):
            open_tensors += _passed_on(producer, model).input_tensors
        for layer in model.layers:
            if layer._inbound_nodes and any(t is tensor for t in layer._inbound_nodes[0].input_tensors):
                if _absorbs(layer):
                    readers[layer.name] = layer
                else:
                    open_tensors += _passed_on(layer, model).output_tensors
    return list(writers.values()), list(readers.values())


def _absorbs(layer: Any) -> bool:
    return type(layer) in (keras.layers.Conv2D, keras.layers.Dense) and getattr(layer, "groups", 1) == 1


_COMMUTING = (
    keras.layers.Add, keras.layers.AveragePooling2D, keras.layers.Dropout, keras.layers.Flatten,
    keras.layers.GlobalAveragePooling2D, keras.layers.MaxPooling2D, keras.layers.ZeroPadding2D,
)  # fmt: skip


def _passed_on(layer: Any, model: keras.Model) -> Any:
    if len(layer._inbound_nodes) == 1 and (type(layer) in _COMMUTING or is_plain_relu(layer)):
        return layer._inbound_nodes[0]
    raise _CannotScale(f"they pass layer {layer.name!r} of {model.name!r}, a {type(layer).__name__}")


def _factors(ranges: np.ndarray, carriers: _Carriers) -> np.ndarray:
    """``f_c = sqrt(range_c / weight_c)``, normed to a median of 1: weights keep the size that a fine-tuning expects.

    ``weight_c`` is the largest weight that reads channel c, as a share of its layer's largest: readers have a scale per
    output channel, which all input channels have in common.
    """
    weights = np.zeros(len(ranges))
    for layer in carriers.readers:
        kernel = np.abs(layer.get_weights()[0].astype(np.float64))
        of_input = kernel.max(axis=(0, 1, 3)) if kernel.ndim == 4 else kernel.max(axis=1)
        # Behind a Flatten every pixel has its own weights for the channel.
        weights = np.maximum(weights, of_input.reshape(-1, len(ranges)).max(axis=0) / max(kernel.max(), 1e-30))
    alive = (ranges > _SMALLEST_SHARE * ranges.max()) & (weights > 0)
    factors = np.ones(len(ranges))
    if alive.any():
        factors[alive] = np.sqrt(ranges[alive] / weights[alive])
        factors[alive] /= np.median(factors[alive])
        factors[~alive] = max(1.0, factors[alive].max())
    return factors


def _scale(carriers: _Carriers, factors: np.ndarray) -> None:
    for layer in carriers.writers:
        if layer.activation not in (keras.activations.linear, keras.activations.relu):
            raise _CannotScale(f"layer {layer.name!r} has the activation {layer.activation.__name__}")
    for layer in carriers.writers:
        layer.set_weights([weight / factors for weight in layer.get_weights()])
    for layer in carriers.readers:
        kernel, *bias = layer.get_weights()
        axis = kernel.ndim - 2
        repeated = np.tile(factors, kernel.shape[axis] // len(factors))  # behind a Flatten: once per pixel
        layer.set_weights([kernel * repeated[:, None], *bias])


def _spread(ranges: np.ndarray) -> float:
    alive = ranges[ranges > 0]
    return float(alive.max() / np.median(alive)) if alive.size else 1.0
