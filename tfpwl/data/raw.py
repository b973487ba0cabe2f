"""What a source delivers, and the checks every source's arrays must pass before anything is trained on them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfpwl.data.dataset import Dataset, Split
from tfpwl.errors import DataError

_IMAGE_RANK = 4
_MAX_UINT8 = 255


@dataclass(frozen=True)
class RawData:
    """Checked arrays of one source. ``test`` is ``None`` where the source has no test set of its own."""

    name: str
    origin: str
    train: Split
    test: Split | None
    labels: tuple[str, ...]
    scale: float


Arrays = tuple[np.ndarray, np.ndarray]


def make_raw(
    name: str,
    origin: str,
    train: Arrays,
    test: Arrays | None,
    *,
    labels: Sequence[str] | None = None,
    scale: float | None = None,
) -> RawData:
    """Check a source's arrays and bring them to one form.

    Args:
        name: of the data set.
        origin: the file, folder or function the arrays come from; starts every error.
        train: images (n, h, w) or (n, h, w, c) and labels (n,) or (n, 1).
        test: the same for the test set, if there is one.
        labels: names of the classes; ``"0"``, ``"1"``, … if not given.
        scale: factor on raw pixels; 1/255 for uint8 images and 1 for float ones if not given.

    Raises:
        DataError: a shape, dtype, pixel or label cannot be used, or a class has no training image.
    """
    train_split = _split(origin, "train", *train, labels)
    test_split = None if test is None else _split(origin, "test", *test, labels)
    if test_split is not None and test_split.x.shape[1:] != train_split.x.shape[1:]:
        raise DataError(
            f"{origin}: x_train holds images of shape {train_split.x.shape[1:]} and x_test of shape "
            f"{test_split.x.shape[1:]}; expected one shape. Resize one of them."
        )
    if test_split is not None and test_split.x.dtype != train_split.x.dtype:
        raise DataError(
            f"{origin}: x_train is {train_split.x.dtype} and x_test is {test_split.x.dtype}; expected one dtype, else "
            "the two would be scaled differently."
        )
    names = tuple(labels) if labels is not None else tuple(str(i) for i in range(int(train_split.y.max()) + 1))
    _check_classes(origin, train_split, test_split, names)
    if scale is None:
        scale = 1 / _MAX_UINT8 if train_split.x.dtype == np.uint8 else 1.0
    return RawData(name, origin, train_split, test_split, names, scale)


def check_dataset(data: Dataset) -> None:
    """Check a data set that somebody else divided.

    Raises:
        DataError: pixels, labels or classes cannot be used, or two splits are the same images.
    """
    splits = {"train": data.train, "val": data.val, "test": data.test}
    for part, split in splits.items():
        _split(data.name, part, split.x, split.y, data.labels)
        _check_classes(data.name, data.train, split, data.labels)
    for a, b in itertools.combinations(splits, 2):
        if np.shares_memory(splits[a].x, splits[b].x):
            raise DataError(f"{data.name}: {a} and {b} are the same images; expected splits that share none.")


def _split(origin: str, part: str, x: np.ndarray, y: np.ndarray, labels: Sequence[str] | None) -> Split:
    x, y = np.asarray(x), np.asarray(y)
    y = _checked_labels(f"{origin}: y_{part}", y)
    x = _checked_images(f"{origin}: x_{part}", x)
    if len(x) != len(y):
        raise DataError(f"{origin}: x_{part} holds {len(x)} images and y_{part} {len(y)} labels; expected as many.")
    if len(x) == 0:
        raise DataError(f"{origin}: the {part} set is empty; expected at least one image per class.")
    _check_finite(f"{origin}: x_{part}", x, y, labels)
    return Split(x, y)


def _checked_images(what: str, x: np.ndarray) -> np.ndarray:
    if x.ndim == _IMAGE_RANK - 1:
        x = x[..., np.newaxis]
    if x.ndim != _IMAGE_RANK or 0 in x.shape[1:]:
        raise DataError(
            f"{what} has shape {x.shape}; expected (images, height, width, channels) or (images, height, width)."
        )
    if x.dtype == np.uint8:
        return x
    if np.issubdtype(x.dtype, np.floating):
        return x.astype(np.float32)
    if np.issubdtype(x.dtype, np.integer) and (x.size == 0 or (x.min() >= 0 and x.max() <= _MAX_UINT8)):
        return x.astype(np.uint8)
    received = f"{x.dtype} from {x.min()} to {x.max()}" if np.issubdtype(x.dtype, np.integer) else f"{x.dtype}"
    raise DataError(f"{what} is {received}; expected uint8 from 0 to 255, or float. Convert it before saving.")


def _checked_labels(what: str, y: np.ndarray) -> np.ndarray:
    if y.ndim == 2 and y.shape[1] == 1:  # keras.datasets keeps CIFAR labels as a column
        y = y[:, 0]
    if y.ndim != 1:
        raise DataError(
            f"{what} has shape {y.shape}; expected one class number per image, (images,). "
            "One-hot labels become numbers by y.argmax(axis=1)."
        )
    if y.dtype == np.bool_ or np.issubdtype(y.dtype, np.integer):
        return y.astype(np.int64)
    if np.issubdtype(y.dtype, np.floating) and np.isfinite(y).all() and (y == np.round(y)).all():
        return y.astype(np.int64)
    bad = next((v for v in y.tolist() if not (isinstance(v, float) and v.is_integer())), None)
    raise DataError(f"{what} holds the label {bad!r} ({y.dtype}); expected whole numbers 0, 1, 2, … for the classes.")


def _check_finite(what: str, x: np.ndarray, y: np.ndarray, labels: Sequence[str] | None) -> None:
    if x.dtype == np.uint8:
        return
    bad = np.flatnonzero(~np.isfinite(x).all(axis=(1, 2, 3)))
    if bad.size:
        index = int(bad[0])
        label = int(y[index])
        shown = labels[label] if labels is not None and 0 <= label < len(labels) else str(label)
        raise DataError(
            f"{what}[{index}] (class {shown!r}) holds NaN or Inf, as do {bad.size - 1} further images; expected finite "
            "values. Remove or repair these images."
        )


def _check_classes(origin: str, train: Split, test: Split | None, names: tuple[str, ...]) -> None:
    for part, split in (("train", train), ("test", test)):
        if split is None:
            continue
        outside = split.y[(split.y < 0) | (split.y >= len(names))]
        if outside.size:
            index = int(np.flatnonzero(split.y == outside[0])[0])
            raise DataError(
                f"{origin}: y_{part}[{index}] is class {int(outside[0])}; expected 0 to {len(names) - 1}, because the "
                f"{'training set' if part == 'test' else 'set'} has {len(names)} classes."
            )
    counts = np.bincount(train.y, minlength=len(names))
    empty = [names[i] for i in np.flatnonzero(counts == 0)]
    if empty:
        raise DataError(
            f"{origin}: no training image of class {', '.join(map(repr, empty[:5]))}"
            f"{' and others' if len(empty) > 5 else ''}; expected "
            "at least one of each. Add images, or renumber the classes 0, 1, 2, … without gaps."
        )
    if len(names) < 2:
        raise DataError(f"{origin}: only one class ({names[0]!r}); expected at least two to tell apart.")
