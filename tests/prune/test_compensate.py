"""Kernels of a derived student fitted to the teacher's features."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers as L
from masked_reference import example_inputs, randomize

from tfpwl.errors import ModelError
from tfpwl.models import build_groups, cut
from tfpwl.pairs import compose
from tfpwl.prune import Derived, derive_student, match_features
from tfpwl.prune.compensate import _linear, _rows


def teacher_of(name: str = "teacher") -> tuple[keras.Model, ...]:
    groups = build_groups("resnet", (8, 8, 1), 5, name=name, widths=(16, 32), depths=(1, 2))
    randomize(compose(groups, name))
    return groups


def answer(groups, x) -> np.ndarray:
    for group in groups:
        x = group(x)
    return np.asarray(x)


def error(derived: Derived, teacher, x) -> float:
    return float(np.square(answer(derived.student_groups, x) - answer(teacher, x)).mean())


@pytest.mark.parametrize(
    "layer",
    [
        L.Conv2D(4, 3, padding="same"),
        L.Conv2D(4, (3, 1), strides=2, padding="same", use_bias=False),
        L.Conv2D(4, 2, strides=2),
        L.Conv2D(4, 3, dilation_rate=2, padding="same"),
        L.Dense(4, activation="relu"),
    ],
)
def test_the_equations_are_those_of_the_layer(layer) -> None:
    x = np.random.default_rng(0).normal(size=(3, 7, 7, 5)).astype("float32")
    layer(x)
    kernel, *bias = layer.get_weights()
    found = _rows(layer, x) @ kernel.reshape(-1, 4) + (bias[0] if bias else 0)
    linear = np.asarray(_linear(layer, x))
    # float32 sums of at most 45 terms.
    np.testing.assert_allclose(found.reshape(linear.shape), linear, atol=1e-5)
    np.testing.assert_allclose(layer.activation(linear), layer(x), atol=1e-6)


def test_where_there_is_nothing_to_gain_a_kernel_stays() -> None:
    teacher = teacher_of()
    x = example_inputs(teacher[0], 64)
    derived = derive_student(teacher, 1.0, 1.0)
    match_features(derived, teacher, x)
    # Behind it, normalizations have the statistics of these images, and kernels make up for it.
    first = "teacher_g0_stem_conv"
    np.testing.assert_allclose(
        derived.student_groups[0].get_layer(first).kernel, teacher[0].get_layer(first).kernel, atol=1e-6
    )


def test_a_narrower_student_comes_closer_to_the_teacher() -> None:
    teacher = teacher_of()
    derived = derive_student(teacher, 0.5, 1.0)
    seen, unseen = example_inputs(teacher[0], 256), example_inputs(teacher[0], 64, seed=5)
    before = [weight.copy() for group in teacher for weight in group.get_weights()]
    selected = error(derived, teacher, unseen)
    match_features(derived, teacher, seen)
    assert error(derived, teacher, unseen) < 0.5 * selected
    for old, new in zip(before, (w for group in teacher for w in group.get_weights()), strict=True):
        np.testing.assert_array_equal(old, new)


def test_what_a_linear_layer_can_make_up_for_is_made_up_for() -> None:
    inputs = keras.Input((6,))
    # 32 units of which 16 tell all there is: the input has 6 numbers.
    x = L.Dense(32, name="wide")(inputs)
    model = keras.Model(inputs, L.Dense(3, name="logits")(x), name="linear")
    teacher = cut(model, cuts=["wide"])
    derived = derive_student(teacher, 0.5, 1.0)
    x = np.random.default_rng(0).normal(size=(512, 6)).astype("float32")
    assert error(derived, teacher, x) > 0.1
    match_features(derived, teacher, x)
    assert error(derived, teacher, x) < 1e-4  # but for the ridge
    decoded = derived.decoders[0](derived.student_groups[0](x))
    np.testing.assert_allclose(decoded, teacher[0](x), atol=0.02)


def test_converters_keep_the_spread_of_features() -> None:
    teacher = teacher_of()
    derived = derive_student(teacher, 0.5, 1.0)
    x = example_inputs(teacher[0], 64)
    match_features(derived, teacher, x)
    decoded = np.asarray(derived.decoders[0](derived.student_groups[0](x)))
    features = np.asarray(teacher[0](x))
    # Normalizations of the student run by their own batch while it is fitted, so to rounding.
    np.testing.assert_allclose(decoded.std((0, 1, 2)), features.std((0, 1, 2)), rtol=0.02, atol=1e-3)


def test_images_that_do_not_fit() -> None:
    teacher = teacher_of()
    with pytest.raises(ModelError, match="expected one or more preprocessed images"):
        match_features(derive_student(teacher, 0.5, 1.0), teacher, np.zeros((4, 9, 9, 1), "float32"))
