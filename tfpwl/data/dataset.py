"""The types every stage reads data from: a split, a data set, and its digest for cache keys."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from tfpwl.bundle import Preprocess

# Statistics are taken over blocks of images, so that float64 copies of a large set never exist at once.
_BLOCK = 2048


@dataclass(frozen=True)
class Split:
    """Raw images ``x`` (n, height, width, channels), uint8 or float32, and labels ``y`` (n,), int64."""

    x: np.ndarray
    y: np.ndarray

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Dataset:
    """Three disjoint splits of raw images, the names of the classes, and how a raw image becomes model input."""

    name: str
    train: Split
    val: Split
    test: Split
    labels: tuple[str, ...]
    preprocess: Preprocess

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of one image."""
        height, width, channels = self.train.x.shape[1:]
        return height, width, channels

    @property
    def num_classes(self) -> int:
        return len(self.labels)

    def digest(self) -> str:
        """SHA-256 over everything a model could see: pixels, labels, their order, class names, preprocessing."""
        sha = hashlib.sha256()
        sha.update(repr((self.labels, self.preprocess.scale, self.preprocess.mean, self.preprocess.std)).encode())
        for split in (self.train, self.val, self.test):
            for array in (split.x, split.y):
                sha.update(f"{array.dtype.str}{array.shape}".encode())
                sha.update(np.ascontiguousarray(array).data)
        return sha.hexdigest()


def fit_preprocess(x: np.ndarray, scale: float) -> Preprocess:
    """The preprocessing that gives the images ``x`` zero mean and unit variance in each channel.

    Args:
        x: raw training images (n, height, width, channels).
        scale: factor on raw pixel values, applied before mean and std.

    Returns:
        Mean and std of the scaled images, rounded so that a manifest can be read (4 decimals for uint8 images,
        6 significant digits for float ones, whose range is not known); std 1 for a channel that never varies.
    """
    axes = (0, 1, 2)
    blocks = [x[i : i + _BLOCK] for i in range(0, len(x), _BLOCK)]
    count = x.size / x.shape[-1]
    mean = sum(block.sum(axes, dtype=np.float64) for block in blocks) / count
    variance = sum(np.square(block - mean).sum(axes) for block in blocks) / count
    stds = [_rounded(value, x.dtype) for value in np.sqrt(variance) * scale]
    return Preprocess(
        scale=scale,
        mean=tuple(_rounded(value, x.dtype) for value in mean * scale),
        std=tuple(std if std > 0 else 1.0 for std in stds),
    )


def _rounded(value: float, dtype: np.dtype) -> float:
    return round(float(value), 4) if dtype == np.uint8 else float(f"{value:.6g}")
