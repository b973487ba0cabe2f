"""Data sets by name, from a .npz file, and from a Python function."""

from __future__ import annotations

import gzip
import importlib
import traceback
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tfpwl.data.dataset import Dataset
from tfpwl.data.raw import Arrays, RawData, make_raw
from tfpwl.errors import DataError, MissingDependencyError, TfpwlError

FASHION_MNIST_FOLDER = Path("/usr/share/datasets/fashion-mnist")

_DIGITS = tuple("0123456789")
_FASHION = (
    "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
_CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_CIFAR100 = (
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl", "boy",
    "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle", "chair", "chimpanzee", "clock",
    "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant", "flatfish", "forest",
    "fox", "girl", "hamster", "house", "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion", "lizard",
    "lobster", "man", "maple_tree", "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange", "orchid",
    "otter", "palm_tree", "pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy", "porcupine", "possum",
    "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper",
    "snail", "snake", "spider", "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone",
    "television", "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf",
    "woman", "worm",
)  # fmt: skip

LABELS: dict[str, tuple[str, ...]] = {
    "digits": _DIGITS,
    "fashion_mnist": _FASHION,
    "mnist": _DIGITS,
    "cifar10": _CIFAR10,
    "cifar100": _CIFAR100,
}


def load_named(name: str) -> RawData:
    """One of the sets in ``LABELS``.

    Raises:
        DataError: the set cannot be read or downloaded.
        MissingDependencyError: the package that brings the set is not installed.
    """
    if name == "digits":
        return _load_digits()
    if name == "fashion_mnist" and FASHION_MNIST_FOLDER.is_dir():
        return load_idx_folder(name, FASHION_MNIST_FOLDER, LABELS[name])
    return _load_keras(name)


def _load_digits() -> RawData:
    try:
        from sklearn.datasets import load_digits  # noqa: PLC0415 - scikit-learn is an extra
    except ImportError as exc:
        raise MissingDependencyError("The data set 'digits' needs scikit-learn: pip install 'tfpwl[train]'.") from exc
    digits = load_digits()
    # Pixels count ink in 4x4 blocks: whole numbers from 0 to 16.
    return make_raw(
        "digits", "digits", (digits.images.astype(np.uint8), digits.target), None, labels=_DIGITS, scale=1 / 16
    )


def load_idx_folder(name: str, folder: Path, labels: tuple[str, ...]) -> RawData:
    """The four IDX ``.gz`` files of a set of the MNIST kind."""
    parts: list[Arrays] = [
        (read_idx(folder / f"{stem}-images-idx3-ubyte.gz"), read_idx(folder / f"{stem}-labels-idx1-ubyte.gz"))
        for stem in ("train", "t10k")
    ]
    return make_raw(name, str(folder), parts[0], parts[1], labels=labels)


def read_idx(path: Path) -> np.ndarray:
    """A gzipped IDX file of unsigned bytes (http://yann.lecun.com/exdb/mnist: magic 0 0 8 rank, big-endian sizes).

    Raises:
        DataError: the file is missing, not gzip, not IDX, or cut short.
    """
    try:
        data = gzip.decompress(path.read_bytes())
    except FileNotFoundError as exc:
        raise DataError(f"{path}: no such file. On Debian: apt-get install dataset-fashion-mnist.") from exc
    except (OSError, EOFError, zlib.error) as exc:
        raise DataError(f"{path}: not a readable .gz file ({exc}). Install or download it again.") from exc
    if len(data) < 4 or data[:3] != b"\0\0\x08":
        raise DataError(f"{path}: starts with {data[:4]!r}; expected an IDX file of unsigned bytes.")
    rank = data[3]
    shape = tuple(np.frombuffer(data, ">u4", rank, offset=4).tolist()) if len(data) >= 4 + 4 * rank else ()
    pixels = data[4 + 4 * rank :]
    if not shape or len(pixels) != np.prod(shape):
        raise DataError(f"{path}: holds {len(pixels)} bytes for shape {shape}; expected one byte per element.")
    return np.frombuffer(pixels, np.uint8).reshape(shape)


def _load_keras(name: str) -> RawData:
    try:
        from keras import datasets  # noqa: PLC0415 - heavy, and only this source needs it
    except ImportError as exc:
        raise MissingDependencyError(f"The data set {name!r} needs Keras: pip install 'tfpwl[train]'.") from exc
    try:
        train, test = getattr(datasets, name).load_data()
    except Exception as exc:  # keras.utils.get_file raises the bare class when a download fails
        raise DataError(
            f"Cannot load {name!r} through keras.datasets: {exc}. Without a network give path: a local .npz with "
            "x_train, y_train, x_test, y_test."
        ) from exc
    return make_raw(name, f"keras.datasets.{name}", train, test, labels=LABELS[name])


def load_npz(name: str, path: Path, labels: tuple[str, ...] | None = None) -> RawData:
    """A ``.npz`` with ``x_train``, ``y_train`` and, if it has a test set, ``x_test``, ``y_test``; ``labels`` if named.

    Raises:
        DataError: the file cannot be read or lacks an array, or its arrays cannot be used.
    """
    arrays = _read_npz(path)
    wanted = ["x_train", "y_train"] + (["x_test", "y_test"] if {"x_test", "y_test"} & arrays.keys() else [])
    missing = [key for key in wanted if key not in arrays]
    if missing:
        raise DataError(
            f"{path}: lacks {', '.join(missing)}, holds {', '.join(sorted(arrays)) or 'nothing'}; expected x_train, "
            "y_train, x_test, y_test (numpy.savez(path, x_train=…, …))."
        )
    if labels is None and "labels" in arrays:
        labels = tuple(str(label) for label in arrays["labels"])
    test = (arrays["x_test"], arrays["y_test"]) if "x_test" in arrays else None
    return make_raw(name, str(path), (arrays["x_train"], arrays["y_train"]), test, labels=labels)


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        # Opened here, because numpy leaves the file open when the archive is broken.
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise DataError(f"{path}: a single array; expected a .npz with x_train, y_train, x_test, y_test.")
            return {key: archive[key] for key in archive.files}
    except FileNotFoundError as exc:
        raise DataError(f"{path}: no such file; expected a .npz with x_train, y_train, x_test, y_test.") from exc
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as exc:
        raise DataError(f"{path}: not a readable .npz ({exc}). Write it with numpy.savez.") from exc


def load_python(spec: str) -> RawData | Dataset:
    """Call ``module:function``, which returns a ``Dataset`` or ``((x_train, y_train), (x_test, y_test))``.

    Raises:
        DataError: there is no such function, it raised, or it returned something else.
    """
    function = _find_function(spec)
    try:
        result = function()
    except TfpwlError:
        raise
    except SystemExit as exc:  # would end the command with the function's own exit code
        raise DataError(f"{spec} called sys.exit({exc.code}); expected it to return the data, or to raise.") from exc
    except Exception as exc:  # the user's code: any mistake of theirs is bad input of ours
        raise DataError(f"{spec} raised {_raised(exc)}. Correct it; --debug shows the traceback.") from exc
    if isinstance(result, Dataset):
        return result
    try:
        (x_train, y_train), (x_test, y_test) = result
    except (TypeError, ValueError) as exc:
        raise DataError(
            f"{spec} returned {type(result).__name__}; expected ((x_train, y_train), (x_test, y_test)) or a "
            "tfpwl.data.Dataset."
        ) from exc
    return make_raw(spec.replace(":", "."), spec, (x_train, y_train), (x_test, y_test))


def _find_function(spec: str) -> Callable[[], Any]:
    module_name, _, function_name = spec.partition(":")
    if not module_name or not function_name:
        raise DataError(f"Received python: {spec!r}; expected 'module:function', such as 'my_data:load'.")
    try:
        module = importlib.import_module(module_name)
    except ImportError as exc:
        raise DataError(
            f"Cannot import {module_name!r} for python: {spec!r}: {exc}. Is its folder on PYTHONPATH?"
        ) from exc
    except Exception as exc:  # the user's module, which may do anything when it is imported
        raise DataError(f"Importing {module_name!r} for python: {spec!r} raised {_raised(exc)}. Correct it.") from exc
    function = getattr(module, function_name, None)
    if not callable(function):
        raise DataError(f"The module {module_name!r} ({module.__file__}) has no function {function_name!r}.")
    found: Callable[[], Any] = function
    return found


def _raised(exc: Exception) -> str:
    """The exception with the innermost place in the user's own code."""
    frames = [frame for frame in traceback.extract_tb(exc.__traceback__) if frame.filename != __file__]
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(exc).__name__}: {exc}{where}"
