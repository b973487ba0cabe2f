"""Data that were collected from devices, beside the pipeline's own: checked, and mixed for training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tfpwl.data import Dataset, Split
from tfpwl.errors import DataError


def as_device_data(collected: Dataset, data: Dataset, place: str) -> Dataset:
    """The collected data as what the pair takes: with the pipeline's preprocessing.

    Args:
        collected: as it was loaded.
        data: the pipeline's data set.
        place: where the configuration names it, for messages.

    Raises:
        DataError: classes, shape or kind of pixels are not those of the pipeline's data.
    """
    for what, received, expected in (
        ("the classes", collected.labels, data.labels),
        ("images of shape", collected.input_shape, data.input_shape),
        ("pixels of type", collected.train.x.dtype.name, data.train.x.dtype.name),
    ):
        if received != expected:
            wanted = f"expected {_shown(expected)}, as the pipeline's own data has"
            raise DataError(f"{place}: received {what} {_shown(received)}; {wanted}.")
    return replace(collected, preprocess=data.preprocess)


def together(data: Dataset, collected: Dataset, seed: int) -> Dataset:
    """The collected training images and as many of the pipeline's own, drawn by ``seed``; tests of the latter."""
    old, new = data.train, collected.train
    drawn = np.sort(np.random.default_rng(seed).permutation(len(old))[: len(new)])
    both = Split(np.concatenate([new.x, old.x[drawn]]), np.concatenate([new.y, old.y[drawn]]))
    return replace(data, train=both)


def _shown(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
