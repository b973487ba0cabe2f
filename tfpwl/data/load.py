"""One function that loads any data set tfpwl knows and divides it into train, validation and test."""

from __future__ import annotations

import difflib
from dataclasses import replace
from pathlib import Path

import numpy as np

from tfpwl.bundle import Preprocess
from tfpwl.data.adapt import repeat_channels, with_preprocess
from tfpwl.data.dataset import Dataset, Split, fit_preprocess
from tfpwl.data.folder import Progress, load_folder
from tfpwl.data.raw import RawData, check_dataset
from tfpwl.data.sources import LABELS, load_named, load_npz, load_python
from tfpwl.data.split import stratified_split
from tfpwl.errors import DataError

# Sets without a test set of their own get this one, whatever the seed, so that accuracies of two runs compare.
_TEST_FRACTION = 0.2
_TEST_SEED = 0


def load_dataset(
    name: str | None = None,
    *,
    path: Path | str | None = None,
    folder: Path | str | None = None,
    npz: Path | str | None = None,
    python: str | None = None,
    validation: float = 0.1,
    seed: int = 0,
    limit: int | None = None,
    image_size: tuple[int, int] | None = None,
    channels: int | None = None,
    preprocess: Preprocess | None = None,
    on_progress: Progress | None = None,
) -> Dataset:
    """Load a data set from exactly one source: ``name``, ``folder``, ``npz`` or ``python``.

    The validation split is taken from the training set, class by class. A source without a test set gives up a fifth of
    its images for one, the same ones whatever the seed.

    Args:
        name: ``digits``, ``fashion_mnist``, ``mnist``, ``cifar10`` or ``cifar100``.
        path: with ``name``: a local ``.npz`` (x_train, y_train, x_test, y_test) read in place of a download.
        folder: one sub-folder of images per class, or ``train`` and ``test`` with such sub-folders.
        npz: a ``.npz`` with x_train, y_train and, if there is a test set, x_test, y_test; ``labels`` for class names.
        python: ``module:function``; it returns ((x_train, y_train), (x_test, y_test)) or a ``Dataset``.
        validation: share of the training set that becomes the validation split, between 0 and 1.
        seed: of the validation split and of the order of training images.
        limit: keep only this many training images.
        image_size: with ``folder``: (height, width) to resize to.
        channels: repeat the one channel of grey images this many times.
        preprocess: how a raw image becomes model input; by default what gives the
            training images mean 0 and variance 1.
        on_progress: with ``folder``: called with (images read, images in all).

    Returns:
        The data set; raw images in shuffled order for training, in the source's order for validation and test.

    Raises:
        DataError: an argument or the data cannot be used; the message names the file and the class.
        MissingDependencyError: an optional package is needed.

    Example:
        >>> data = load_dataset("digits", limit=500)
        >>> data.train.x.shape, data.input_shape, data.num_classes
        ((500, 8, 8, 1), (8, 8, 1), 10)
    """
    _check_arguments({"name": name, "folder": folder, "npz": npz, "python": python}, path, image_size)
    if not 0 < validation < 1:
        raise DataError(f"Received validation={validation}; expected a share of the training set between 0 and 1.")
    loaded: RawData | Dataset
    if folder is not None:
        loaded = load_folder(Path(folder), image_size, on_progress)
    elif npz is not None:
        loaded = load_npz(Path(npz).stem, Path(npz))
    elif python is not None:
        loaded = load_python(python)
    elif path is not None and name is not None:
        loaded = load_npz(name, Path(path), LABELS[name])
    else:
        loaded = load_named(str(name))
    if isinstance(loaded, Dataset):
        check_dataset(loaded)
        data = replace(loaded, train=_limited(loaded.name, loaded.train, limit, loaded.labels))
    else:
        data = _divide(loaded, validation, seed, limit)
    if channels is not None:
        data = repeat_channels(data, channels)
    return data if preprocess is None else with_preprocess(data, preprocess)


def _check_arguments(sources: dict[str, object], path: object, image_size: object) -> None:
    name = sources["name"]
    given = [key for key, value in sources.items() if value is not None]
    if len(given) != 1:
        raise DataError(f"Received {' and '.join(given) or 'no source'}; expected exactly one of {', '.join(sources)}.")
    if name is not None and name not in LABELS:
        close = difflib.get_close_matches(str(name), LABELS, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else " For own data use folder, npz or python."
        raise DataError(f"Unknown data set {name!r}; expected one of {', '.join(LABELS)}.{hint}")
    if path is not None and (name is None or name == "digits"):
        raise DataError("Received path without the name of a downloaded set (mnist, cifar10, …); for own data use npz.")
    if image_size is not None and sources["folder"] is None:
        raise DataError(f"Received image_size={image_size} with {given[0]}; only folder resizes images.")


def _divide(raw: RawData, validation: float, seed: int, limit: int | None) -> Dataset:
    rest, test = raw.train, raw.test
    if test is None:
        kept, taken = stratified_split(rest.y, _TEST_FRACTION, seed=_TEST_SEED)
        rest, test = _take(rest, kept), _take(rest, taken)
    train_indices, val_indices = stratified_split(rest.y, validation, seed=seed)
    if len(val_indices) == 0 or len(test) == 0:
        raise DataError(f"{raw.origin}: {len(raw.train)} images are too few; expected several of each class.")
    shuffled = np.random.default_rng(seed).permutation(train_indices)
    train = _limited(raw.origin, Split(rest.x[shuffled], rest.y[shuffled]), limit, raw.labels)
    return Dataset(raw.name, train, _take(rest, val_indices), test, raw.labels, fit_preprocess(train.x, raw.scale))


def _take(split: Split, indices: np.ndarray) -> Split:
    return Split(split.x[indices], split.y[indices])


def _limited(origin: str, train: Split, limit: int | None, labels: tuple[str, ...]) -> Split:
    if limit is None:
        return train
    if limit < 1:
        raise DataError(f"Received limit={limit}; expected at least one training image.")
    kept = Split(train.x[:limit], train.y[:limit])
    missing = np.flatnonzero(np.bincount(kept.y, minlength=len(labels)) == 0)
    if missing.size:
        raise DataError(
            f"{origin}: limit={limit} leaves no training image of class {labels[missing[0]]!r}; expected at least one "
            "of each class. Raise limit."
        )
    return kept
