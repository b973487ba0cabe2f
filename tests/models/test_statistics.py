"""Moving statistics estimated anew."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers as L

from tfpwl.errors import ModelError
from tfpwl.models import reestimate_statistics


@pytest.fixture
def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4, 4, 3))
    x = L.BatchNormalization(name="bn", momentum=0.9)(L.Conv2D(5, 3, name="conv")(inputs))
    x = L.Dropout(0.9)(L.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, L.BatchNormalization(name="after_dropout")(x))


def images(count: int = 64) -> np.ndarray:
    return np.random.default_rng(1).normal(3.0, 2.0, (count, 4, 4, 3)).astype("float32")


def test_they_are_those_of_the_images(model: keras.Model) -> None:
    x = images()
    reestimate_statistics([model], x, batch_size=16)
    seen = np.asarray(model.get_layer("conv")(x), np.float64)
    norm = model.get_layer("bn")
    # Sums of float32 in another order.
    np.testing.assert_allclose(norm.moving_mean, seen.mean((0, 1, 2)), rtol=1e-4)
    batches = seen.reshape(4, 16, *seen.shape[1:])
    np.testing.assert_allclose(norm.moving_variance, batches.var((1, 2, 3)).mean(0), rtol=1e-4)


def test_the_rest_runs_as_in_inference(model: keras.Model) -> None:
    x = images(16)
    reestimate_statistics([model], x)
    before = keras.Model(model.input, model.get_layer("after_dropout").input)
    seen = np.asarray(before(x))  # with a dropout of 0.9 a mean of 16 numbers would be far off
    np.testing.assert_allclose(model.get_layer("after_dropout").moving_mean, seen.mean(0), atol=2e-3)


def test_a_frozen_layer_takes_part_and_nothing_else_changes(model: keras.Model) -> None:
    model.trainable = False
    kernel = np.array(model.get_layer("conv").kernel)
    old = np.array(model.get_layer("bn").moving_mean)
    reestimate_statistics([model], images())
    assert np.abs(np.array(model.get_layer("bn").moving_mean) - old).min() > 0
    np.testing.assert_array_equal(kernel, model.get_layer("conv").kernel)
    assert model.get_layer("bn").momentum == 0.9
    assert not model.get_layer("bn").trainable


def test_groups_are_run_one_after_another() -> None:
    first, second = keras.Input((3,)), keras.Input((4,))
    groups = [keras.Model(first, L.Dense(4)(first)), keras.Model(second, L.BatchNormalization(name="bn")(second))]
    x = np.random.default_rng(0).normal(size=(32, 3)).astype("float32")
    reestimate_statistics(groups, x)
    np.testing.assert_allclose(groups[1].get_layer("bn").moving_mean, np.mean(groups[0](x), axis=0), atol=1e-6)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((0, 4, 4, 3), "float32"), r"shape \(0, 4, 4, 3\); expected one or more preprocessed images"),
        (np.zeros((2, 4, 4, 1), "float32"), r"shape \(2, 4, 4, 1\); expected .* of \(4, 4, 3\) each"),
        (np.zeros((4, 4, 3), "float32"), "expected one or more"),
        (np.zeros((2, 4, 4, 3), "uint8"), "Received images of uint8; expected float32"),
        ([1, 2], "Received list"),
    ],
)
def test_images_that_do_not_fit(model: keras.Model, data, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        reestimate_statistics([model], data)
