"""Augmentation changes training batches only, keeps values honest, and is repeatable."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tfpwl.augment import AugmentationSeeds, make_augmentation
from tfpwl.errors import DataError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(16, 16, 12, 3)).astype(np.float32)


def augmented(x: np.ndarray, **options: float) -> np.ndarray:
    model = make_augmentation(x.shape[1:], **{"rotation": 0, "flip": False, "crop": 0, **options})  # type: ignore[arg-type]
    assert model is not None
    return np.asarray(model(x, training=True))


def test_nothing_to_do_gives_no_model() -> None:
    assert make_augmentation((8, 8, 1), rotation=0, flip=False, crop=0) is None


def test_images_pass_unchanged_outside_training() -> None:
    model = make_augmentation(X.shape[1:])
    assert model is not None
    np.testing.assert_array_equal(np.asarray(model(X, training=False)), X)


def test_shape_and_dtype_are_kept() -> None:
    got = augmented(X, rotation=15, flip=True, crop=0.125)
    assert (got.shape, got.dtype) == (X.shape, X.dtype)
    assert np.isfinite(got).all()


def test_flip_mirrors_some_images_left_to_right_and_leaves_the_others() -> None:
    got = augmented(X, flip=True)
    flipped = [np.array_equal(a, b[:, ::-1]) for a, b in zip(got, X, strict=True)]
    kept = [np.array_equal(a, b) for a, b in zip(got, X, strict=True)]
    assert any(flipped)
    assert any(kept)
    assert all(f or k for f, k in zip(flipped, kept, strict=True))


def test_crop_is_a_window_of_the_image_padded_by_reflection() -> None:
    """Every result is a window of the padded image: whole pixels, no blur, at most an eighth of the side."""
    shifts = set()
    for got, image in zip(augmented(X, crop=0.125), X, strict=True):
        padded = np.pad(image, ((2, 2), (2, 2), (0, 0)), mode="symmetric")
        windows = [(i, j) for i in range(5) for j in range(5) if np.array_equal(got, padded[i : i + 16, j : j + 12])]
        assert len(windows) == 1
        shifts.add(windows[0])
    assert len(shifts) > 4  # each image has its own


def test_rotation_fills_corners_with_the_mean_and_stays_within_its_angle() -> None:
    x = np.ones((16, 21, 21, 1), np.float32)
    x[:, 10, 18] = 5  # a dot on the right; its angle after rotation shows the turn
    got = augmented(x, rotation=15)
    assert got.min() == 0
    angles = []
    for image in got[..., 0]:
        weight = np.where(image > 1.2, image - 1, 0)
        rows, columns = np.mgrid[:21, :21]
        angles.append(np.degrees(np.arctan2((weight * (rows - 10)).sum(), (weight * (columns - 10)).sum())))
    # The dot is one pixel at radius 8, 7 degrees wide; bilinear weights give its centre to about a third of that.
    assert np.abs(angles).max() <= 15 + 2.5
    assert np.ptp(angles) > 10


def test_one_seed_repeats_and_another_does_not() -> None:
    np.testing.assert_array_equal(augmented(X, crop=0.25, seed=1), augmented(X, crop=0.25, seed=1))
    assert not np.array_equal(augmented(X, crop=0.25, seed=1), augmented(X, crop=0.25, seed=2))


def test_successive_batches_are_changed_differently() -> None:
    model = make_augmentation(X.shape[1:], seed=1)
    assert model is not None
    assert not np.array_equal(np.asarray(model(X, training=True)), np.asarray(model(X, training=True)))


def test_an_epoch_begins_with_the_same_draws_whatever_ran_before() -> None:
    model = make_augmentation(X.shape[1:], seed=1)
    assert model is not None
    seeds = AugmentationSeeds(model)
    seeds.set_epoch(2)
    first = np.asarray(model(X, training=True))
    seeds.set_epoch(3)
    third = np.asarray(model(X, training=True))
    seeds.set_epoch(2)
    np.testing.assert_array_equal(np.asarray(model(X, training=True)), first)
    assert not np.array_equal(first, third)


def test_it_runs_inside_a_compiled_training_step() -> None:
    augmentation = make_augmentation((8, 8, 1), seed=1)
    model = keras.Sequential([keras.Input((8, 8, 1)), augmentation, keras.layers.Flatten(), keras.layers.Dense(2)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
    history = model.fit(RNG.normal(size=(12, 8, 8, 1)), np.arange(12) % 2, batch_size=4, epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rotation": 200}, r"rotation=200; expected degrees from 0 to 180"),
        ({"rotation": -1}, r"rotation=-1"),
        ({"crop": 1.0}, r"crop=1\.0; expected a fraction"),
        ({"crop": float("nan")}, r"crop=nan"),
    ],
)
def test_amounts_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        make_augmentation((8, 8, 1), **options)  # type: ignore[arg-type]
