"""Moving statistics of batch normalizations, estimated anew after channels or layers were taken away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from tfpwl.errors import ModelError
from tfpwl.models.calls import Call, flatten_model
from tfpwl.models.running import Find, call_own, run_calls


def reestimate_statistics(groups: Sequence[keras.Model], images: np.ndarray, *, batch_size: int = 64) -> None:
    """Set the moving means and variances of every batch normalization to what ``images`` give; nothing is trained.

    A pruned model feeds its normalizations other numbers than they have seen. The statistics become the averages over
    the batches, each of which runs through layers that normalize by the batch itself and through everything else (a
    dropout, say) as in inference.

    Args:
        groups: functional models that run one after another (one model: a list of it); changed in place.
        images: preprocessed, ``(n, …)`` as the first group takes them; a few hundred of the training set.
        batch_size: images per batch; a last, smaller one is left out.

    Raises:
        ModelError: there are no images, they do not fit the first group, or a group cannot be read.

    Example:
        >>> reestimate_statistics(derived.student_groups, x_train[:512])          # doctest: +SKIP
    """
    check_images(groups[0], images)
    flats = [flatten_model(group) for group in groups]
    size = min(batch_size, len(images))
    seen: Counter[int] = Counter()
    layers = {id(c.operation): c.operation for flat in flats for c in flat.calls if is_normalization(c.operation)}
    settings = {key: (layer.momentum, layer.trainable) for key, layer in layers.items()}

    def apply(call: Call, find: Find) -> Any:
        layer = call.operation
        if not is_normalization(layer):
            return call_own(call, find)
        seen[id(layer)] += 1
        layer.momentum = 1 - 1 / seen[id(layer)]  # so that the moving average is the plain one
        return layer(find(call.inputs[0]), training=True)

    try:
        for layer in layers.values():
            layer.trainable = True  # a frozen one takes no statistics
        for start in range(0, len(images) - size + 1, size):
            x: Any = keras.ops.convert_to_tensor(images[start : start + size])
            for flat in flats:
                x = run_calls(flat.calls, flat.inputs[0], x, flat.outputs[0], apply=apply)
    finally:
        for key, layer in layers.items():
            layer.momentum, layer.trainable = settings[key]


def normalize_by(layer: keras.layers.BatchNormalization, x: Any) -> Any:
    """``layer``'s output for ``x`` after its moving statistics became those of ``x``."""
    momentum, trainable = layer.momentum, layer.trainable
    try:
        layer.momentum, layer.trainable = 0.0, True
        return layer(x, training=True)
    finally:
        layer.momentum, layer.trainable = momentum, trainable


def check_images(group: keras.Model, images: Any) -> None:
    """Raise :class:`ModelError` unless ``images`` are numbers that ``group`` takes."""
    shape = tuple(group.input_shape[1:])
    received = getattr(images, "shape", None)
    if received is None or len(received) != len(shape) + 1 or not len(images) or not _fits(received[1:], shape):
        what = type(images).__name__ if received is None else f"an array of shape {tuple(received)}"
        raise ModelError(f"Received {what}; expected one or more preprocessed images of {shape} each.")
    if not np.issubdtype(images.dtype, np.floating):
        raise ModelError(f"Received images of {images.dtype}; expected float32, preprocessed as the model takes them.")


def _fits(received: Sequence[int], shape: Sequence[int | None]) -> bool:
    return all(wanted in (None, size) for size, wanted in zip(received, shape, strict=True))


def is_normalization(operation: Any) -> bool:
    """Whether it has moving statistics."""
    return isinstance(operation, keras.layers.BatchNormalization)
