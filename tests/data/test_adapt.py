"""Data for a network that somebody else trained: repeated channels, given preprocessing."""

from __future__ import annotations

import numpy as np
import pytest

from tfpwl.bundle import Preprocess
from tfpwl.config import DataConfig
from tfpwl.data import load_dataset, load_section
from tfpwl.errors import DataError


def test_grey_images_get_equal_channels_and_the_preprocessing_of_each() -> None:
    grey, colour = load_dataset("digits"), load_dataset("digits", channels=3)
    assert colour.input_shape == (8, 8, 3)
    for channel in range(3):
        np.testing.assert_array_equal(colour.test.x[..., channel], grey.test.x[..., 0])
    np.testing.assert_array_equal(colour.preprocess(colour.test.x)[..., 2], grey.preprocess(grey.test.x)[..., 0])
    assert colour.digest() != grey.digest()


def test_images_with_as_many_channels_stay_and_others_are_refused(tmp_path) -> None:
    rng = np.random.default_rng(0)
    for channels in (3, 4):
        x, y = rng.integers(0, 256, (40, 4, 4, channels), np.uint8), np.arange(40) % 2
        np.savez(tmp_path / f"{channels}.npz", x_train=x, y_train=y)
    assert load_dataset(npz=tmp_path / "3.npz", channels=3).input_shape == (4, 4, 3)
    with pytest.raises(DataError, match="4: the images have 4 channels; expected 1, which `channels: 3` repeats"):
        load_dataset(npz=tmp_path / "4.npz", channels=3)


def test_a_given_preprocessing_replaces_the_fitted_one() -> None:
    section = DataConfig(name="digits", channels=3, preprocess={"scale": 0.125, "mean": 1, "std": [1, 2, 4]})
    data = load_section(section, 0)
    assert data.preprocess == Preprocess(0.125, (1.0, 1.0, 1.0), (1.0, 2.0, 4.0))
    expected = (data.test.x.astype("float32") / 8 - 1) / np.array([1, 2, 4], "float32")
    np.testing.assert_array_equal(data.preprocess(data.test.x), expected)  # powers of two: exact


def test_raw_pixels() -> None:
    data = load_section(DataConfig(name="digits", preprocess={}), 0)
    np.testing.assert_array_equal(data.preprocess(data.test.x), data.test.x)


def test_a_preprocessing_for_other_channels() -> None:
    with pytest.raises(DataError, match="preprocess has 3 numbers as mean or std; expected 1, or 1, one per channel"):
        load_dataset("digits", preprocess=Preprocess(1.0, (1.0, 2.0, 3.0), (1.0,)))
