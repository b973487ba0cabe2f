"""Data for a bundle: raw images in its shape and labels in its classes, from whatever ``--data`` names."""

from __future__ import annotations

import difflib
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn

from tfpwl.bundle import Bundle
from tfpwl.cli.image_files import as_raw, read_images, to_channels
from tfpwl.cli.progress import bars
from tfpwl.data import LABELS, load_dataset
from tfpwl.data.folder import SUFFIXES, load_folder
from tfpwl.errors import DataError

Array = NDArray[Any]
OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class BundleData:
    """Raw images (n, *input shape of the bundle*), their class numbers if known, and what each image is called."""

    source: str
    x: Array
    y: Array | None
    names: tuple[str, ...] | None = None
    is_image: bool = False

    def __len__(self) -> int:
        return len(self.x)

    def name(self, index: int) -> str:
        return self.names[index] if self.names is not None else f"image {index}"


def load_bundle_data(source: str, bundle: Bundle) -> BundleData:
    """Load the test split of ``source``, with a bar on stderr for what takes long.

    Args:
        source: name of a data set, a folder of images (with one sub-folder per class, or without), an image, or a
            ``.npz`` with x_test (and y_test), x (and y), or all that a pipeline takes.
        bundle: says which shape and which classes.

    Raises:
        DataError: there is no such data, or it does not fit the bundle.
        MissingDependencyError: a package that reads it is not installed.
    """
    with bars(TextColumn("reading"), BarColumn(), MofNCompleteColumn()) as progress:
        task = progress.add_task("", total=None)
        return _load(source, bundle, lambda done, total: progress.update(task, completed=done, total=total))


def _load(source: str, bundle: Bundle, on_progress: OnProgress) -> BundleData:
    path = Path(source)
    if source in LABELS:
        data = load_dataset(source)
        _check_shape(source, data.test.x, bundle)
        return BundleData(source, data.test.x, _classes(source, data.test.y, data.labels, bundle))
    if path.is_dir():
        return _load_folder(path, bundle, on_progress)
    if path.suffix == ".npz":
        return _load_npz(path, bundle)
    if path.is_file():
        image = read_images([path], bundle.manifest.input.shape[1:], on_progress)
        return BundleData(source, as_raw(image, bundle.manifest.input.preprocess), None, (path.name,), is_image=True)
    close = difflib.get_close_matches(source, LABELS, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise DataError(
        f"Received --data {source!r}: no such file or folder, and no data set of this name. Expected "
        f"{', '.join(LABELS)}, a folder of images, an image or a .npz.{hint}"
    )


def _load_folder(folder: Path, bundle: Bundle, on_progress: OnProgress) -> BundleData:
    height, width, channels = bundle.manifest.input.shape[1:]
    children = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    if not any(path.is_dir() for path in children):
        files = [path for path in children if path.suffix.lower() in SUFFIXES]
        if not files:
            raise DataError(f"{folder}: holds no images; expected files ending in {', '.join(sorted(SUFFIXES))}.")
        x, y, names = read_images(files, (height, width, channels), on_progress), None, tuple(f.name for f in files)
    elif (folder / "test").is_dir():
        # Only the test images: load_dataset would read those for training too.
        raw = load_folder(folder / "test", (height, width), on_progress)
        x, y, names = raw.train.x, _classes(str(folder), raw.train.y, raw.labels, bundle), None
    else:
        data = load_dataset(folder=folder, image_size=(height, width), on_progress=on_progress)
        x, y, names = data.test.x, _classes(str(folder), data.test.y, data.labels, bundle), None
    return BundleData(str(folder), as_raw(to_channels(x, channels), bundle.manifest.input.preprocess), y, names)


def _load_npz(path: Path, bundle: Bundle) -> BundleData:
    arrays = _plain_arrays(path)
    if arrays is None:
        data = load_dataset(npz=path)
        _check_shape(str(path), data.test.x, bundle)
        names = None if data.labels == tuple(str(i) for i in range(data.num_classes)) else data.labels
        return BundleData(str(path), data.test.x, _classes(str(path), data.test.y, names, bundle))
    x, y = arrays
    if x.ndim == 3:
        x = x[..., np.newaxis]
    if x.dtype.kind not in "uif" or not np.isfinite(x).all():
        raise DataError(f"{path}: the images are {x.dtype}, or hold NaN; expected finite numbers.")
    _check_shape(str(path), x, bundle)
    if y is not None and (y.shape != (len(x),) or y.dtype.kind not in "iu"):
        raise DataError(f"{path}: received labels {y.dtype} {y.shape}; expected ({len(x)},) class numbers.")
    return BundleData(str(path), x, None if y is None else _classes(str(path), y.astype(np.int64), None, bundle))


def _plain_arrays(path: Path) -> tuple[Array, Array | None] | None:
    """``x_test`` or ``x`` with labels if there are any; None for a file with training data, or one that is broken."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            keys = archive.files
            for x, y in (("x_test", "y_test"), ("x", "y")):
                if x in keys and "x_train" not in keys:
                    return archive[x], archive[y] if y in keys else None
    except (AttributeError, OSError, TypeError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
        # load_dataset says what is wrong with the file.
        return None
    return None


def _classes(source: str, y: Array, names: Sequence[str] | None, bundle: Bundle) -> Array:
    """Labels in the bundle's numbering: by name where the names are known on both sides, else as they are."""
    own, classes = bundle.labels, bundle.manifest.output.shape[-1]
    if names is not None and own is not None and tuple(names) != own:
        if set(names) <= set(own):
            return np.array([own.index(name) for name in names])[y]
        if len(names) == classes:
            click.echo(
                f"Note: {source} has the classes {_some(names)}, the bundle {_some(own)}; they are taken by number.",
                err=True,
            )
    if len(y) and (y.min() < 0 or y.max() >= classes):
        bundle_classes = f" ({_some(own)})" if own is not None else ""
        raise DataError(
            f"{source}: holds classes {int(y.min())} to {int(y.max())}{f' ({_some(names)})' if names else ''}; the "
            f"bundle has {classes}{bundle_classes}."
        )
    return y


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def _check_shape(source: str, x: Array, bundle: Bundle) -> None:
    expected = bundle.manifest.input.shape[1:]
    if x.shape[1:] != expected or not len(x):
        raise DataError(
            f"{source}: holds {len(x)} images of shape {list(x.shape[1:])}; the bundle {bundle.manifest.name!r} takes "
            f"{list(expected)}."
        )


def shuffled(data: BundleData, limit: int | None) -> BundleData:
    """The images in a fixed random order, so that every stretch of them has all classes; ``limit`` keeps the first."""
    order = np.random.default_rng(0).permutation(len(data))[:limit]
    return replace(
        data,
        x=data.x[order],
        y=None if data.y is None else data.y[order],
        names=None if data.names is None else tuple(data.names[i] for i in order),
    )
