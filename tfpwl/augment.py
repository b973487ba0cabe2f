"""Augmentation of the PWL authors (rotation, flip, crop with reflection) as one Keras model."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from tfpwl.errors import DataError

_FULL_TURN = 360.0


def make_augmentation(
    input_shape: Sequence[int], *, rotation: float = 15.0, flip: bool = True, crop: float = 0.125, seed: int = 0
) -> keras.Model | None:
    """Random changes to batches of preprocessed training images; the defaults are the PWL authors'.

    Call it with ``training=True``; without, it returns its input. It runs on every Keras backend, in graph mode too.

    Args:
        input_shape: (height, width, channels) of one image.
        rotation: largest angle either way, in degrees; corners that come into view are 0, the mean image.
        flip: whether half of the images are mirrored left to right.
        crop: largest shift either way as a fraction of height and width, the border filled by reflection; this is a
            random crop out of an image padded by reflection.
        seed: of the random changes.

    Returns:
        A model from (n, height, width, channels) float32 to the same, or ``None`` if nothing is to be changed.

    Raises:
        DataError: an amount is out of range.

    Example:
        >>> augmentation = make_augmentation((8, 8, 1), flip=False, seed=1)
        >>> augmentation.output_shape
        (None, 8, 8, 1)
    """
    if not 0 <= rotation <= _FULL_TURN / 2:
        raise DataError(f"Received rotation={rotation}; expected degrees from 0 to 180.")
    if not 0 <= crop < 1:
        raise DataError(f"Received crop={crop}; expected a fraction of the image from 0 to below 1.")
    layers: list[keras.layers.Layer] = []
    if rotation:
        turn = rotation / _FULL_TURN
        layers.append(
            keras.layers.RandomRotation(turn, fill_mode="constant", fill_value=0.0, seed=seed, name="rotation")
        )
    if flip:
        layers.append(keras.layers.RandomFlip("horizontal", seed=seed + 1, name="flip"))
    if crop:
        # Nearest neighbour moves whole pixels: a crop does not blur.
        layers.append(
            keras.layers.RandomTranslation(
                crop, crop, fill_mode="reflect", interpolation="nearest", seed=seed + 2, name="crop"
            )
        )
    return keras.Sequential([keras.Input(tuple(input_shape)), *layers], name="augmentation") if layers else None


class AugmentationSeeds:
    """Sets an augmentation's random state at every epoch, so that a resumed run draws what an undisturbed one draws.

    Args:
        augmentation: from :func:`make_augmentation`.
    """

    def __init__(self, augmentation: keras.Model) -> None:
        self._generators = [layer.generator for layer in augmentation.layers]
        self._seeds = [int(generator.state[0]) for generator in self._generators]

    def set_epoch(self, epoch: int) -> None:
        for seed, generator in zip(self._seeds, self._generators, strict=True):
            # The state is (seed, draws so far); 2**20 draws per epoch are more than any epoch takes.
            generator.state.assign([seed, epoch << 20])
