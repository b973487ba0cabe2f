"""Layers of well-known networks that the XNNPACK delegate would leave out are replaced without changing an answer."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers as L

from tfpwl.export import export_model
from tfpwl.xnnpack import for_xnnpack


def network(num_joined: int, pool: type) -> keras.Model:
    inputs = keras.Input((8, 8, 4))
    x = L.Conv2D(8, 3, padding="same")(inputs)
    x = L.Add()([pool(1, strides=2)(x), L.Conv2D(8, 3, strides=2, padding="same")(x)])
    x = L.Concatenate()([L.Conv2D(4, 1)(x) for _ in range(num_joined)])
    return keras.Model(inputs, L.Dense(3)(L.GlobalAveragePooling2D()(x)), name="m")


def nested(model: keras.Model) -> keras.Model:
    inputs = keras.Input((8, 8, 4))
    return keras.Model(inputs, L.Dense(2)(model(inputs)), name="outer")


@pytest.mark.parametrize("pool", [L.MaxPooling2D, L.AveragePooling2D])
@pytest.mark.parametrize("num_joined", [4, 9])
def test_one_partition_and_the_same_answers(num_joined: int, pool: type) -> None:
    x = np.random.default_rng(0).random((3, 8, 8, 4), dtype=np.float32)
    for model in (network(num_joined, pool), nested(network(num_joined, pool))):
        replaced = for_xnnpack(model)
        assert replaced is not model
        # Times 1, plus 0: to the bit.
        np.testing.assert_array_equal(np.asarray(replaced(x)), np.asarray(model(x)))
        assert export_model(model)[4:8] == b"TFL3"  # which refuses a second partition


def test_a_model_without_such_layers_is_left_alone() -> None:
    inputs = keras.Input((8, 8, 4))
    x = L.Concatenate()([L.MaxPooling2D(2)(inputs), L.AveragePooling2D(2)(inputs)])
    model = keras.Model(inputs, L.Dense(3)(L.GlobalAveragePooling2D()(x)))
    assert for_xnnpack(model) is model
