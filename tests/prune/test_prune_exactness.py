"""The pruned model answers as the whole one with the same channels zeroed (masked_reference.py says what that is)."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from masked_reference import example_inputs, masked_answer, randomize, relative_difference
from tied_models import BUILDERS

from tfpwl.export import export_model
from tfpwl.models import build_groups
from tfpwl.pairs import compose
from tfpwl.prune import carve, plan_pruning, prune

# The sums have fewer terms, in another order: float32 differs by some 1e-6 of the largest answer. The limit.
TOLERANCE = 1e-4

FAMILIES = {
    "lenet5": {"channels": (16, 24), "units": (32, 24)},
    "vgg": {"widths": (16, 24), "depths": (1, 2)},
    "resnet": {"widths": (16, 24), "depths": (1, 2), "stem": 24},
    "vit": {"patch": 4, "width": 32, "depth": 2, "heads": 4, "mlp": 64, "groups": 2},
}


def check(model: keras.Model, inputs: np.ndarray, **settings) -> keras.Model:
    plan = plan_pruning(model, importance="random", **settings)
    smaller = carve(model, plan)
    expected = masked_answer(model, plan.report.kept, inputs)
    assert relative_difference(np.asarray(smaller(inputs)), expected) < TOLERANCE
    # The control: had nothing been removed, or something else, it would show.
    assert relative_difference(np.asarray(model(inputs)), expected) > 100 * TOLERANCE
    assert smaller.count_params() == plan.report.params_after < plan.report.params_before == model.count_params()
    return smaller


def inputs_of(model: keras.Model) -> np.ndarray:
    if model.inputs[0].dtype == "int32":
        return np.random.default_rng(0).integers(0, 11, (4, *model.inputs[0].shape[1:])).astype(np.int32)
    return example_inputs(model, 4)


def prepared(model: keras.Model) -> keras.Model:
    return randomize(model) if model.inputs[0].dtype == "float32" else model


@pytest.mark.parametrize("round_to", [8, 1])
def test_the_pruned_model_is_the_whole_one_with_channels_zeroed(any_model: keras.Model, round_to: int) -> None:
    model = prepared(any_model)
    check(model, inputs_of(model), ratio=0.2, target="channels", round_to=round_to, ranking="layer")


@settings(max_examples=8, deadline=None)
@given(
    name=st.sampled_from(sorted(BUILDERS)), ratio=st.floats(0.1, 0.5), seed=st.integers(0, 99),
    target=st.sampled_from(["flops", "params", "channels"]), ranking=st.sampled_from(["global", "layer"]),
)  # fmt: skip
def test_it_is_exact_whatever_is_removed(name: str, ratio: float, seed: int, target: str, ranking: str) -> None:
    model = prepared(BUILDERS[name]())
    check(model, inputs_of(model), ratio=ratio, seed=seed, target=target, ranking=ranking, round_to=2)


@pytest.mark.parametrize("family", FAMILIES)
def test_our_families(family: str) -> None:
    model = compose(build_groups(family, (16, 16, 1), 5, name="teacher", **FAMILIES[family]), family)
    smaller = check(randomize(model), example_inputs(model, 4), ratio=0.4, target="params")
    assert [layer.name for layer in smaller.layers] == [layer.name for layer in model.layers]


def test_mobilenet_v2_runs_as_a_file(tmp_path: Path) -> None:
    build = keras.applications.MobileNetV2
    model = build((32, 32, 3), alpha=0.35, weights=None, classes=10, classifier_activation=None)
    smaller = check(randomize(model), example_inputs(model, 4), ratio=0.5)
    assert len(export_model(smaller)) > 4 * smaller.count_params() * 0.9  # it checks the file's answer against Keras'


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("MobileNet", 32), ("MobileNetV3Small", 32), ("EfficientNetB0", 32), ("ResNet50V2", 32), ("DenseNet121", 32),
        ("ConvNeXtTiny", 32), ("Xception", 71), ("InceptionResNetV2", 75),
    ],
)  # fmt: skip
def test_keras_applications(name: str, size: int) -> None:
    build = getattr(keras.applications, name)
    model = build(input_shape=(size, size, 3), weights=None, classes=10, classifier_activation=None)
    check(randomize(model), example_inputs(model, 4), ratio=0.5)


def test_no_pixel_of_the_given_model_changes(small_resnet: keras.Model) -> None:
    before = [np.array(weight) for weight in small_resnet.weights]
    config = small_resnet.get_config()
    prune(small_resnet, 0.5)
    assert small_resnet.get_config() == config
    for weight, value in zip(small_resnet.weights, before, strict=True):
        np.testing.assert_array_equal(np.array(weight), value)


def test_ratio_0_is_a_copy(any_model: keras.Model) -> None:
    copy = prune(any_model, 0.0)
    x = inputs_of(any_model)
    # The same operations on the same numbers.
    np.testing.assert_array_equal(np.asarray(copy(x)), np.asarray(any_model(x)))
    assert {id(w) for w in copy.weights}.isdisjoint(id(w) for w in any_model.weights)


def test_what_is_saved_loads_in_plain_keras(any_model: keras.Model, tmp_path: Path) -> None:
    smaller = prune(any_model, 0.4, target="channels", round_to=2)
    smaller.save(tmp_path / "smaller.keras")
    loaded = keras.saving.load_model(tmp_path / "smaller.keras", compile=False, custom_objects={})
    x = inputs_of(any_model)
    np.testing.assert_array_equal(np.asarray(loaded(x)), np.asarray(smaller(x)))
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in any_model.layers]
