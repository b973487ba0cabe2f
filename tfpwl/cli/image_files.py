"""Image files in the size and the channels that a bundle takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfpwl.bundle import Preprocess
from tfpwl.data.folder import check_depth
from tfpwl.errors import DataError, MissingDependencyError

Array = NDArray[Any]
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_WHITE = 255
# ITU-R 601, in the fixed-point numbers of Pillow's convert("L").
_LUMA = np.array([19595, 38470, 7471])


def read_images(paths: Sequence[Path], shape: Sequence[int], on_progress: Callable[[int, int], None]) -> Array:
    """Read image files, turned upright by their EXIF orientation and resized.

    Args:
        paths: the files.
        shape: (height, width, channels) of the result; 1 channel is gray.
        on_progress: called with (images read, images in all).

    Returns:
        uint8 (n, height, width, channels).

    Raises:
        DataError: a file is no readable image, or there are no images of so many channels.
        MissingDependencyError: Pillow is not installed.
    """
    height, width, channels = shape
    if channels not in _MODES:
        raise DataError(f"The bundle takes {channels} channels; image files have 1, 3 or 4. Give a .npz instead.")
    pixels = np.empty((len(paths), height, width, channels), np.uint8)
    for index, path in enumerate(paths):
        pixels[index] = _read_image(path, _MODES[channels], (width, height)).reshape(height, width, channels)
        on_progress(index + 1, len(paths))
    return pixels


def _read_image(path: Path, mode: str, size: tuple[int, int]) -> Array:
    try:
        from PIL import Image, ImageOps  # noqa: PLC0415 - Pillow is an extra
    except ImportError as exc:
        raise MissingDependencyError("Image files need Pillow: pip install pillow") from exc
    try:
        with Image.open(path) as opened:
            check_depth(path, opened.mode)
            image = ImageOps.exif_transpose(opened).convert(mode)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as exc:
        raise DataError(f"{path}: not a readable image ({exc}). Save it again as PNG or JPEG.") from exc
    return np.asarray(image if image.size == size else image.resize(size, Image.Resampling.BILINEAR))


def to_channels(x: Array, channels: int) -> Array:
    """uint8 images (n, h, w, 1 or 3) as gray or RGB; what is neither comes back as it is."""
    if x.shape[-1] == 1 and channels == 3:
        return np.repeat(x, 3, axis=-1)
    if x.shape[-1] == 3 and channels == 1:
        return ((x @ _LUMA + 0x8000) >> 16).astype(np.uint8)[..., np.newaxis]
    return x


def as_raw(pixels: Array, preprocess: Preprocess) -> Array:
    """Pixels 0..255 of image files in the range of the raw input that ``preprocess`` expects.

    The model was trained on ``raw * scale``, where white is 1; for the handwritten digits, whose pixels are 0..16, the
    scale is 1/16. A bundle whose mean is above 1 was trained on pixels as they are.
    """
    white = 1.0 if max(preprocess.mean) > 1 else preprocess.scale * _WHITE
    # A manifest may give 1/255 in a few digits.
    return pixels if abs(white - 1.0) < 1e-4 else (pixels / white).astype(np.float32)
