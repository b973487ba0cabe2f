"""Residual blocks: which additions can be left out."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers as L
from keras import ops

from tfpwl.models.blocks import additions, find_blocks
from tfpwl.models.calls import flatten_model
from tfpwl.models.regroup import rebuild


def found(inputs, x) -> list[str]:
    return [block.layer for block in find_blocks(flatten_model(keras.Model(inputs, x)))]


def test_identity_blocks_are_found_and_projected_ones_are_not() -> None:
    inputs = keras.Input((8, 8, 4))
    x = L.Conv2D(4, 3, padding="same")(inputs)
    x = L.Add(name="identity")([L.Conv2D(4, 3, padding="same")(L.ReLU()(x)), x])
    x = L.Add(name="projected")([L.Conv2D(4, 1)(x), L.Conv2D(4, 3, padding="same")(x)])
    x = x + L.Conv2D(4, 1)(L.ReLU()(x))  # an operation in place of a layer
    model = keras.Model(inputs, x)
    flat = flatten_model(model)
    assert len(additions(flat)) == 3
    first, second = find_blocks(flat)
    assert first.layer == "identity"
    assert [type(call.operation).__name__ for call in first.branch] == ["ReLU", "Conv2D"]
    assert second.layer == flat.calls[-1].name


def test_a_block_with_a_side_exit_stays() -> None:
    inputs = keras.Input((8,))
    x = L.Dense(8)(inputs)
    y = L.Dense(8)(x)
    out = L.Add(name="add")([x, y])
    assert found(inputs, L.Concatenate()([out, y])) == []
    assert found(inputs, L.Dense(2)(out)) == ["add"]


def test_a_block_that_reads_something_else_stays() -> None:
    inputs = keras.Input((8,))
    early = L.Dense(8)(inputs)
    x = L.Dense(8)(early)
    out = L.Add()([x, L.Dense(8)(L.Concatenate()([x, early]))])
    assert found(inputs, L.Dense(2)(out)) == []


def test_squeeze_excite_belongs_to_the_branch() -> None:
    inputs = keras.Input((8, 8, 4))
    x = L.Conv2D(4, 1)(inputs)
    y = L.DepthwiseConv2D(3, padding="same")(x)
    gate = L.Dense(4, activation="sigmoid")(ops.mean(y, axis=(1, 2), keepdims=True))
    assert found(inputs, L.Add(name="add")([L.Multiply()([y, gate]), x])) == ["add"]


def test_what_is_left_is_the_model_with_a_silent_branch() -> None:
    inputs = keras.Input((8,))
    x = L.Dense(8)(inputs)
    for index in range(3):
        y = L.Dense(8, name=f"last{index}")(L.Dense(8, activation="relu")(x))
        x = L.Add(name=f"add{index}")([x, y])
    model = keras.Model(inputs, L.Dense(2)(x))
    flat = flatten_model(model)
    blocks = find_blocks(flat)
    bypass = {block.output: block.shortcut for block in blocks[:2]}  # one after the other
    shallow = rebuild(flat, 0, len(flat.calls), "shallow", bypass=bypass)
    for index in range(2):
        model.get_layer(f"last{index}").set_weights([np.zeros((8, 8)), np.zeros(8)])
    data = np.random.default_rng(0).normal(size=(5, 8)).astype("float32")
    # The same operations on the same numbers, but for sums with 0.
    np.testing.assert_allclose(shallow(data), model(data), rtol=1e-6, atol=1e-6)
    assert "last0" not in [layer.name for layer in shallow.layers]
