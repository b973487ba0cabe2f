"""Data sets that are folders of images, one sub-folder per class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfpwl.data.raw import Arrays, RawData, make_raw
from tfpwl.errors import DataError, MissingDependencyError

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".webp"})
Progress = Callable[[int, int], None]
_PARTS = {"train", "test"}
_GRAY_MODES = {"1", "L"}


@dataclass(frozen=True)
class _Listed:
    """Image files, in order, and the class of each."""

    paths: tuple[Path, ...]
    y: np.ndarray


def load_folder(folder: Path, image_size: tuple[int, int] | None, on_progress: Progress | None) -> RawData:
    """Read ``folder/<class>/<image>``, or ``folder/train/<class>/…`` and ``folder/test/<class>/…``.

    Images are gray (one channel) if every one of them is, else RGB; turned upright by their EXIF orientation.

    Args:
        folder: the root.
        image_size: (height, width) every image is resized to; without it all images must have one size.
        on_progress: called with (images read, images in all) after each image.

    Raises:
        DataError: the folder is missing or has no images, an image cannot be read or has another size, a class is
            empty.
        MissingDependencyError: Pillow is not installed.
    """
    root, test_root = _find_parts(folder)
    labels = tuple(path.name for path in _sub_folders(root))
    listed = [_list_images(root, labels)]
    if test_root is not None:
        listed.append(_list_images(test_root, labels))
    paths = [path for part in listed for path in part.paths]
    pixels = _read_images(paths, image_size, on_progress)
    count = len(listed[0].paths)
    train: Arrays = (pixels[:count], listed[0].y)
    test: Arrays | None = (pixels[count:], listed[1].y) if test_root is not None else None
    return make_raw(folder.resolve().name, str(folder), train, test, labels=labels)


def _find_parts(folder: Path) -> tuple[Path, Path | None]:
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; expected one sub-folder per class.")
    names = {path.name for path in _sub_folders(folder)}
    if not names & _PARTS:
        return folder, None
    if names != _PARTS:
        raise DataError(
            f"{folder}: holds {', '.join(sorted(names))}; expected either one sub-folder per class, or exactly train "
            "and test with one sub-folder per class in each."
        )
    return folder / "train", folder / "test"


def _sub_folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _list_images(root: Path, labels: tuple[str, ...]) -> _Listed:
    unknown = {path.name for path in _sub_folders(root)} - set(labels)
    if unknown:
        raise DataError(f"{root}: class {min(unknown)!r} has no training folder; expected one of {', '.join(labels)}.")
    paths: list[Path] = []
    y: list[int] = []
    for index, label in enumerate(labels):
        found = sorted(
            path
            for path in (root / label).glob("*")
            if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
        )
        paths += found
        y += [index] * len(found)
    if not paths:
        raise DataError(
            f"{root}: no images in {len(labels)} sub-folders; expected <class>/<image> with one of the endings "
            f"{', '.join(sorted(SUFFIXES))}."
        )
    return _Listed(tuple(paths), np.array(y, np.int64))


def _read_images(paths: Sequence[Path], size: tuple[int, int] | None, on_progress: Progress | None) -> np.ndarray:
    mode = "L" if all(_image_mode(path) in _GRAY_MODES for path in paths) else "RGB"
    first = _read_image(paths[0], mode, size)
    pixels = np.empty((len(paths), *first.shape), np.uint8)
    for index, path in enumerate(paths):
        image = _read_image(path, mode, size)
        if image.shape != first.shape:
            raise DataError(
                f"{path} (class {path.parent.name!r}): is {image.shape[0]}x{image.shape[1]} (height x width), but "
                f"{paths[0]} is {first.shape[0]}x{first.shape[1]}; expected one size. "
                "Give image_size to resize them all."
            )
        pixels[index] = image
        if on_progress is not None:
            on_progress(index + 1, len(paths))
    return pixels


def check_depth(path: Path, mode: str) -> None:
    """Refuse an image of more than 8 bits per channel, which Pillow would clip to white.

    Raises:
        DataError: for such a mode.
    """
    if mode[:1] in "IF":
        raise DataError(f"{path}: is an image of mode {mode}; expected 8 bits per channel. Convert it first.")


def _image_mode(path: Path) -> str:
    image_module = _pillow()
    try:
        with image_module.open(path) as image:
            check_depth(path, image.mode)
            return str(image.mode)
    except (OSError, SyntaxError, ValueError, image_module.DecompressionBombError) as exc:
        raise _unreadable(path, exc) from exc


def _read_image(path: Path, mode: str, size: tuple[int, int] | None) -> np.ndarray:
    from PIL import ImageOps  # noqa: PLC0415 - Pillow is an extra; _image_mode has reported its absence

    image_module = _pillow()
    try:
        with image_module.open(path) as opened:
            image = ImageOps.exif_transpose(opened).convert(mode)
    except (OSError, SyntaxError, ValueError, image_module.DecompressionBombError) as exc:
        raise _unreadable(path, exc) from exc
    if size is not None and image.size != (size[1], size[0]):
        image = image.resize((size[1], size[0]), image_module.Resampling.BILINEAR)
    pixels = np.asarray(image)
    return pixels[..., np.newaxis] if mode == "L" else pixels


def _pillow() -> Any:  # the module PIL.Image
    try:
        from PIL import Image  # noqa: PLC0415 - Pillow is an extra
    except ImportError as exc:
        raise MissingDependencyError("Folders of images need Pillow: pip install 'tfpwl[train]'.") from exc
    return Image


def _unreadable(path: Path, exc: Exception) -> DataError:
    return DataError(
        f"{path} (class {path.parent.name!r}): not a readable image ({exc}). Remove it or save it again as PNG or JPEG."
    )
