"""Which channels go together, and what is left alone and reported."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops
from tied_models import BUILDERS, head

from tfpwl.errors import ModelError
from tfpwl.prune import build_graph, carve, count_flops, plan_pruning, prune


class Doubled(L.Layer):
    """A custom layer: nobody knows what it does with its channels."""

    def call(self, x):
        return 2 * x


class OwnConv(L.Conv2D):
    """A subclass of a known layer may do anything, too."""


def layer_groups(model: keras.Model) -> set[frozenset[str]]:
    return {frozenset(group.layers) for group in build_graph(model).groups}


@pytest.mark.parametrize("name", BUILDERS)
def test_every_layer_of_these_models_is_understood(name: str) -> None:
    assert build_graph(BUILDERS[name]()).closed_layers == ()


def test_a_residual_addition_ties_all_that_is_added() -> None:
    inputs = keras.Input((8, 8, 3))
    x = L.Conv2D(16, 1, name="stem")(inputs)
    y = L.Conv2D(16, 1, name="out")(L.Conv2D(24, 1, name="inside")(x))
    z = L.Conv2D(16, 1, name="other")(x)
    assert layer_groups(head(inputs, L.Add()([x, y, z]))) == {
        frozenset({"stem", "out", "other"}),
        frozenset({"inside"}),
    }


def test_an_addition_to_a_concatenation_ties_its_parts_apart() -> None:
    inputs = keras.Input((8, 8, 3))
    a, b = L.Conv2D(8, 1, name="a")(inputs), L.Conv2D(16, 1, name="b")(inputs)
    whole = L.Conv2D(24, 1, name="whole")(inputs)
    model = head(inputs, L.Add()([L.Concatenate()([a, b]), whole]))
    sizes = {frozenset(group.layers): group.size for group in build_graph(model).groups}
    assert sizes == {frozenset({"a", "whole"}): 8, frozenset({"b", "whole"}): 16}


def test_the_gate_of_squeeze_and_excite_goes_with_what_it_gates() -> None:
    inputs = keras.Input((8, 8, 3))
    x = L.Conv2D(16, 1, name="x")(inputs)
    s = L.Conv2D(8, 1, name="squeeze")(L.GlobalAveragePooling2D(keepdims=True)(x))
    model = head(inputs, L.Multiply()([x, L.Conv2D(16, 1, name="gate", activation="sigmoid")(s)]))
    assert layer_groups(model) == {frozenset({"x", "gate"}), frozenset({"squeeze"})}


def test_heads_go_whole_and_apart_from_the_output_channels() -> None:
    inputs = keras.Input((6, 8))
    x = L.Dense(16, name="embedding")(inputs)
    y = L.MultiHeadAttention(4, 6, name="attention")(x, x)
    model = keras.Model(inputs, L.Dense(3)(L.Flatten()(L.Add()([x, y]))))
    groups = {frozenset(group.layers): group for group in build_graph(model).groups}
    assert groups.keys() == {frozenset({"attention:heads"}), frozenset({"embedding", "attention"})}
    assert groups[frozenset({"attention:heads"})].width == 6


def test_whole_groups_of_a_grouped_convolution_go() -> None:
    inputs = keras.Input((8, 8, 3))
    x = L.Conv2D(32, 1, name="before")(inputs)
    model = head(inputs, L.Conv2D(64, 3, groups=8, name="grouped")(x))
    (group,) = build_graph(model).groups
    assert group.size == 8
    smaller = prune(model, 0.5, target="channels", ranking="layer")
    layer = smaller.get_layer("grouped")
    assert (layer.groups, layer.filters, layer.kernel.shape) == (4, 32, (3, 3, 4, 32))


def test_the_output_layer_keeps_its_units() -> None:
    inputs = keras.Input((8,))
    model = keras.Model(inputs, L.Dense(64, name="out", activation="softmax")(L.Dense(32)(inputs)))
    assert prune(model, 0.5, target="params").output_shape == (None, 64)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (Doubled(name="odd"), "Doubled is not a layer"),
        (OwnConv(16, 1, name="odd"), "OwnConv is not a layer"),
        (L.TimeDistributed(L.Conv1D(16, 1), name="odd"), "TimeDistributed is not a layer"),
        (L.Softmax(name="odd"), "softmax over the channels"),
        (L.Activation("log_softmax", name="odd"), "not known to work element by element"),
        (L.Permute((3, 1, 2), name="odd"), "moves the channels"),
        (L.BatchNormalization(axis=1, name="odd"), "normalises axis 1"),
        (L.Reshape((128, 8), name="odd"), "mixes channels with places"),
    ],
)
def test_what_is_not_known_closes_its_channels_and_is_reported(layer: L.Layer, reason: str) -> None:
    inputs = keras.Input((8, 8, 3))
    x = L.Conv2D(16, 1, name="before")(inputs)
    x = L.Dense(16, name="after")(L.Flatten()(layer(x)))
    model = keras.Model(inputs, L.Dense(5)(x))
    graph = build_graph(model)
    assert {name for group in graph.groups for name in group.layers} == {"after"}
    (closed,) = graph.closed_layers
    assert closed.layer == "odd"
    assert reason in closed.reason
    smaller = prune(model, 0.3, target="channels", max_layer_ratio=0.5)  # the rest is still pruned, around it
    assert smaller.get_layer("after").units == 8
    assert smaller.get_layer("before").filters == 16


def test_a_constant_for_each_channel_is_not_cut() -> None:
    inputs = keras.Input((8, 8, 3))
    x = ops.multiply(L.Conv2D(16, 1, name="before")(inputs), np.linspace(0, 1, 16, dtype=np.float32))
    graph = build_graph(head(inputs, x))
    assert graph.groups == ()
    assert "constant with several numbers" in graph.closed_layers[0].reason


def test_lora_weights_close_their_layer() -> None:
    inputs = keras.Input((8,))
    model = keras.Model(inputs, L.Dense(5)(L.Dense(32, name="adapted")(inputs)))
    model.get_layer("adapted").enable_lora(2)
    (closed,) = build_graph(model).closed_layers
    assert closed.layer == "adapted"
    assert "not known" in closed.reason


def test_kept_layers_keep_their_channels(small_resnet: keras.Model) -> None:
    name = next(layer.name for layer in small_resnet.layers if isinstance(layer, L.Add))
    smaller = prune(small_resnet, 0.3, keep=[name])
    assert smaller.get_layer(name).output.shape == small_resnet.get_layer(name).output.shape


def test_a_nested_layer_is_kept_by_its_path() -> None:
    model = BUILDERS["nested"]()
    inner = model.get_layer("tail").layers[0].name
    plan = plan_pruning(model, 0.3, keep=[f"tail/{inner}"])
    assert len(plan.report.kept[f"tail/{inner}"]) == 16
    assert carve(model, plan).get_layer("tail").output_shape[-1] == 16


def test_flops_are_two_per_multiply_add() -> None:
    inputs = keras.Input((8, 8, 4))
    x = L.Conv2D(16, 3, padding="same")(inputs)  # 64 places, 9 taps
    x = L.DepthwiseConv2D(3, padding="same", strides=2)(x)  # 16 places
    x = L.SeparableConv2D(8, 3, padding="same")(x)
    x = L.Conv2D(8, 1, groups=4)(x)
    x = L.Reshape((16, 8))(x)
    x = L.MultiHeadAttention(2, 4)(x, x)
    model = keras.Model(inputs, L.Dense(5)(L.Flatten()(x)))
    attention = 3 * 16 * 8 * 2 * 4 + 2 * 16 * 16 * 2 * 4 + 16 * 2 * 4 * 8
    macs = 64 * 9 * 4 * 16 + 16 * 9 * 16 + 16 * 9 * 16 + 16 * 16 * 8 + 16 * 2 * 8 + attention + 128 * 5
    assert count_flops(model) == 2 * macs


def subclassed() -> keras.Model:
    class Net(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.out = L.Dense(2)

        def call(self, x):
            return self.out(x)

    net = Net()
    net(np.zeros((1, 4), np.float32))
    return net


def with_lambda() -> keras.Model:
    inputs = keras.Input((4,))
    return keras.Model(inputs, L.Dense(2)(L.Lambda(lambda x: 2 * x, name="twice")(inputs)))


def of_two_models() -> keras.Model:
    layer, a, b = L.Dense(4, name="both"), keras.Input((4,)), keras.Input((4,))
    one, two = keras.Model(a, layer(a), name="one"), keras.Model(b, layer(b), name="two")
    inputs = keras.Input((4,))
    return keras.Model(inputs, one(two(inputs)))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: "a path", "Received str; expected a keras.Model"),
        (subclassed, "subclassed model whose calls cannot be read. Rebuild it as a functional model"),
        (lambda: keras.Sequential([L.Dense(2)]), "is not built; give it a keras.Input"),
        (with_lambda, "'twice' is a Lambda.*Write it with keras.layers"),
        (of_two_models, "'both' belongs to two models, 'one/both' and 'two/both'|'two/both' and 'one/both'"),
    ],
)
def test_models_that_cannot_be_read(build, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        prune(build(), 0.5)


def test_an_unknown_name_to_keep(small_resnet: keras.Model) -> None:
    with pytest.raises(ModelError, match="no layer 'nope'"):
        prune(small_resnet, 0.5, keep=["nope"])


def test_sizes_that_are_not_fixed_need_another_target() -> None:
    inputs = keras.Input((None, None, 3))
    model = head(inputs, L.Conv2D(32, 3, name="c")(inputs))
    with pytest.raises(ModelError, match=r"'c' has a size that is not fixed.*target='params'"):
        prune(model, 0.5)
    assert prune(model, 0.4, target="params").get_layer("c").filters == 16
