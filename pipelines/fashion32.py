"""Fashion-MNIST as 32×32 images: what `data: {python: fashion32:load}` reads."""

from dataclasses import replace

import numpy as np

from tfpwl.data import Dataset, Split, load_dataset


def load() -> Dataset:
    """The 28×28 images with a black border of two pixels."""
    data = load_dataset("fashion_mnist", validation=0.05)
    return replace(data, train=_padded(data.train), val=_padded(data.val), test=_padded(data.test))


def _padded(split: Split) -> Split:
    return Split(np.pad(split.x, ((0, 0), (2, 2), (2, 2), (0, 0))), split.y)
