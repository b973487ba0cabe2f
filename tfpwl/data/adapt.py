"""A data set as a network that somebody else trained wants it: other channels, other preprocessing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tfpwl.bundle import Preprocess
from tfpwl.data.dataset import Dataset, Split
from tfpwl.errors import DataError


def repeat_channels(data: Dataset, channels: int) -> Dataset:
    """Grey images with ``channels`` equal channels; images that have as many already stay as they are.

    Raises:
        DataError: the images have another number of channels, neither 1 nor ``channels``.

    Example:
        >>> from tfpwl.data import load_dataset
        >>> repeat_channels(load_dataset("digits"), 3).input_shape
        (8, 8, 3)
    """
    found = data.input_shape[-1]
    if found == channels:
        return data
    if found != 1:
        raise DataError(
            f"{data.name}: the images have {found} channels; expected 1, which `channels: {channels}` repeats."
        )

    def repeated(split: Split) -> Split:
        return Split(np.repeat(split.x, channels, axis=-1), split.y)

    pixels = data.preprocess
    return replace(
        data, train=repeated(data.train), val=repeated(data.val), test=repeated(data.test),
        preprocess=Preprocess(pixels.scale, pixels.mean * channels, pixels.std * channels),
    )  # fmt: skip


def with_preprocess(data: Dataset, preprocess: Preprocess) -> Dataset:
    """The data set with a given preprocessing in place of the one fitted to its images.

    ``mean`` and ``std`` of one number hold for every channel.

    Raises:
        DataError: they have neither one number nor one per channel.
    """
    channels = data.input_shape[-1]
    length = max(len(preprocess.mean), len(preprocess.std))
    if length not in (1, channels):
        raise DataError(
            f"{data.name}: preprocess has {length} numbers as mean or std; expected 1, or {channels}, one per channel "
            "of the images."
        )
    mean, std = (values * length if len(values) == 1 else values for values in (preprocess.mean, preprocess.std))
    return replace(data, preprocess=Preprocess(preprocess.scale, mean, std))
