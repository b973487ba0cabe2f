"""Cut points, balance, and groups whose composition is the model."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers as L
from masked_reference import example_inputs, randomize
from tied_models import BUILDERS, conv_bn_relu, head, resnet

from tfpwl.errors import ModelError
from tfpwl.export import export_model
from tfpwl.models import cut, find_cut_points, plan_cuts, split_softmax
from tfpwl.models.cut import balance
from tfpwl.prune import count_flops, flops_by_layer


@pytest.fixture(autouse=True)
def _seed() -> None:
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)


def answer(groups, x):
    for group in groups:
        x = group(x)
    return np.asarray(x)


def blocks(num_blocks: int = 3) -> keras.Model:
    inputs = keras.Input((8, 8, 3))
    x = L.Conv2D(8, 3, padding="same", name="stem")(inputs)
    for i in range(num_blocks):
        y = L.Conv2D(8, 3, padding="same", name=f"b{i}_inside")(x)
        x = L.ReLU(name=f"b{i}_relu")(L.Add(name=f"b{i}_add")([x, y]))
    return head(inputs, x)


@pytest.mark.parametrize("name", [name for name in BUILDERS if name not in ("shared", "nested_twice", "embedded")])
def test_the_composition_of_the_groups_is_the_model(name: str) -> None:
    model = randomize(BUILDERS[name]())
    x = example_inputs(model, 3)
    for num_groups in (1, 2) if name == "operations" else (1, 2, 3):
        groups = cut(model, groups=num_groups)
        assert len(groups) == num_groups
        # The same operations in the same order.
        np.testing.assert_allclose(answer(groups, x), np.asarray(model(x)), rtol=1e-6, atol=1e-6)
        assert {id(w) for g in groups for w in g.weights}.isdisjoint(id(w) for w in model.weights)
        assert sum(g.count_params() for g in groups) == model.count_params()


def test_every_cut_point_is_legal() -> None:
    model = randomize(BUILDERS["squeeze_excite"]())
    x = example_inputs(model, 2)
    for point in find_cut_points(model):
        np.testing.assert_allclose(
            answer(cut(model, cuts=[point.layer]), x), np.asarray(model(x)), rtol=1e-6, atol=1e-6
        )


def test_cut_points_are_where_a_single_tensor_passes() -> None:
    layers = [point.layer for point in find_cut_points(blocks())]
    assert [layer for layer in layers if layer.startswith(("stem", "b"))] == [
        "stem", *(f"b{i}_{what}" for i in range(3) for what in ("add", "relu")),
    ]  # fmt: skip


def test_a_cut_inside_a_residual_block() -> None:
    with pytest.raises(ModelError) as error:
        cut(blocks(), cuts=["b1_inside"])
    assert str(error.value) == (
        "The model cannot be cut after 'b1_inside': 'b0_relu' bypasses it, read further on by 'b1_add'. "
        "Nearest cut points: 'b0_relu' and 'b1_add'."
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"groups": 9},
            "9 groups need 8 cut points, and the model has 4 with weights on both sides. Ask for at most 5",
        ),
        ({"groups": 0}, "Received groups=0; expected a whole number"),
        ({"groups": True}, "Received groups=True"),
        ({}, "Give either"),
        ({"groups": 2, "cuts": ["stem"]}, "Give either"),
        ({"cuts": []}, "expected one or more names"),
        ({"cuts": ["stem", "stem"]}, "each once"),
        ({"cuts": ["b1_ad"]}, "no layer 'b1_ad'. Did you mean 'b1_add'"),
        ({"cuts": ["logits"]}, "'logits' is the last layer"),
    ],
)
def test_cuts_that_cannot_be_made(options: dict, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        plan_cuts(blocks(), **options)


def test_several_inputs_cannot_be_a_chain() -> None:
    a, b = keras.Input((4,)), keras.Input((4,))
    with pytest.raises(ModelError, match="2 inputs and 1 outputs"):
        cut(keras.Model([a, b], L.Dense(2)(L.Add()([a, b]))), groups=2)


def test_a_convolution_and_its_normalization_stay_together() -> None:
    inputs = keras.Input((8, 8, 3))
    x = inputs
    for _ in range(4):
        x = conv_bn_relu(x, 8)
    groups = cut(head(inputs, x), groups=4)
    assert all(isinstance(group.layers[-1], L.ReLU) for group in groups[:-1])


def test_a_cut_goes_before_the_flatten_and_after_the_pool() -> None:
    inputs = keras.Input((8, 8, 3))
    x = L.MaxPooling2D(name="pool")(L.Conv2D(8, 3, padding="same")(inputs))
    model = keras.Model(inputs, L.Dense(5)(L.Flatten()(x)))
    assert [point.layer for point in plan_cuts(model, 2).cuts] == ["pool"]


def test_a_shared_layer_is_not_torn_apart() -> None:
    model = BUILDERS["shared"]()
    points = [point.layer for point in find_cut_points(model)]
    assert "twice" not in points
    with pytest.raises(ModelError, match="a layer with weights is called on both sides"):
        plan_cuts(model, cuts=[model.layers[1].name.replace("conv2d", "twice")])


def test_a_mask_does_not_cross_a_boundary() -> None:
    inputs = keras.Input((7,), dtype="int32")
    x = L.Dense(4)(L.Embedding(9, 8, mask_zero=True)(inputs))
    assert find_cut_points(keras.Model(inputs, L.Dense(2)(x))) == ()


def test_a_heavy_block_is_reported() -> None:
    inputs = keras.Input((4,))
    x = L.Dense(8, name="light")(inputs)
    y = L.Dense(8)(L.Dense(900)(x))
    model = keras.Model(inputs, L.Dense(2)(L.Add(name="add")([x, y])))
    (warning,) = plan_cuts(model, 2).warnings
    assert warning.startswith("Between 'light' and 'add' are 0.06 MB of 0.06 MB, and the model cannot be cut there")


@given(st.lists(st.integers(0, 50), min_size=2, max_size=7), st.data())
def test_the_balance_is_the_best_of_all(sizes: list[int], data: st.DataObject) -> None:
    groups = data.draw(st.integers(1, len(sizes)))
    edges = [0, *itertools.accumulate(sizes)]

    def parts(cuts):
        return [edges[b] - edges[a] for a, b in itertools.pairwise((0, *cuts, len(sizes)))]

    def cost(cuts):
        return max(parts(cuts)), sum(part**2 for part in parts(cuts))

    every = itertools.combinations(range(1, len(sizes)), groups - 1)
    assert cost(balance(edges, groups)) == min(cost(cuts) for cuts in every)


def test_the_report_adds_up() -> None:
    model = blocks()
    plan = plan_cuts(model, 3, flops=flops_by_layer(model))
    assert sum(group.flops for group in plan.groups) == count_flops(model)
    assert sum(group.bytes for group in plan.groups) == 4 * model.count_params()
    assert [group.output_shape for group in plan.groups] == [g.output_shape[1:] for g in cut(model, 3)]


def ends_in(what: str) -> keras.Model:
    inputs = keras.Input((4,))
    if what == "activation":
        return keras.Model(inputs, L.Dense(3, activation="softmax")(inputs), name="m")
    logits = L.Dense(3)(inputs)
    layer = {"layer": L.Softmax(), "activation layer": L.Activation("softmax"), "operation": keras.ops.softmax}[what]
    return keras.Model(inputs, layer(logits), name="m")


@pytest.mark.parametrize("what", ["activation", "layer", "activation layer", "operation"])
def test_a_final_softmax_comes_apart(what: str) -> None:
    model = ends_in(what)
    logits, softmax = split_softmax(model)
    x = example_inputs(model, 3)
    z = np.asarray(logits(x))
    assert np.abs(z.sum(axis=-1) - 1).max() > 1e-2
    np.testing.assert_allclose(np.asarray(softmax(z)), np.asarray(model(x)), rtol=1e-6)
    assert logits.name == "m"


def test_a_model_without_softmax_is_left_alone() -> None:
    model = resnet()
    assert split_softmax(model) == (model, None)


def test_groups_export() -> None:
    for group in cut(blocks(2), 2):
        assert export_model(group)[4:8] == b"TFL3"


def test_a_group_with_silu_exports() -> None:
    """tf.nn.silu carries a gradient of its own, which once cost the file its signature."""
    inputs = keras.Input((8, 8, 3))
    x = L.Activation("silu")(L.Conv2D(8, 3)(inputs))
    assert export_model(head(inputs, x))[4:8] == b"TFL3"
