"""Students derived from teachers of any architecture."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest
from keras import layers as L
from masked_reference import example_inputs, masked_answer, randomize, relative_difference
from tied_models import head

from tfpwl.config import TrainConfig
from tfpwl.data import load_dataset
from tfpwl.errors import ModelError
from tfpwl.export import export_pair
from tfpwl.mix import Mix
from tfpwl.models import build_groups, cut, reestimate_statistics
from tfpwl.pairs import compose, make_pair
from tfpwl.prune import derive_student, match_features
from tfpwl.prune.side import join_groups
from tfpwl.training import Batches, cross_entropy, fit


def mixes(num_groups: int) -> list[Mix]:
    return [Mix("".join(sides)) for sides in itertools.product("ST", repeat=num_groups)]


def answer(groups, x) -> np.ndarray:
    for group in groups:
        x = group(x)
    return np.asarray(x)


def resnet_groups() -> tuple[keras.Model, ...]:
    groups = build_groups("resnet", (8, 8, 1), 5, name="teacher", widths=(16, 32), depths=(2, 3))
    randomize(compose(groups, "teacher"))
    return groups


def inverted(name: str = "mobile") -> keras.Model:
    """Expansion, depthwise convolution, squeeze-excite, linear projection: what MobileNets and EfficientNets are of."""
    inputs = keras.Input((8, 8, 3))
    x = L.ReLU(6.0)(L.BatchNormalization()(L.Conv2D(16, 3, padding="same", use_bias=False)(inputs)))
    for index, (width, stride) in enumerate([(16, 1), (24, 2), (24, 1), (24, 1)]):
        y = L.ReLU(6.0)(L.BatchNormalization()(L.Conv2D(48, 1, use_bias=False)(x)))
        y = L.DepthwiseConv2D(3, stride, padding="same", use_bias=False)(y)
        y = L.Activation("silu")(L.BatchNormalization()(y))
        gate = L.Reshape((1, 1, 48))(L.GlobalAveragePooling2D()(y))
        gate = L.Conv2D(48, 1, activation="sigmoid")(L.Conv2D(8, 1, activation="silu")(gate))
        y = L.BatchNormalization()(L.Conv2D(width, 1, use_bias=False)(L.Multiply()([y, gate])))
        x = L.Add(name=f"add{index}")([x, y]) if stride == 1 else y
    return randomize(head(inputs, x, name))


def plain(name: str = "plain") -> keras.Model:
    inputs = keras.Input((8, 8, 3))
    x = inputs
    for width in (16, 24, 32):
        x = L.MaxPooling2D()(L.Conv2D(width, 3, padding="same", activation="relu")(x))
    return randomize(keras.Model(inputs, L.Dense(5)(L.Dense(32, activation="relu")(L.Flatten()(x))), name=name))


def test_a_student_as_wide_and_deep_is_the_teacher() -> None:
    teacher = resnet_groups()
    derived = derive_student(teacher, 1.0, 1.0)
    x = example_inputs(teacher[0], 3)
    np.testing.assert_array_equal(answer(derived.student_groups, x), answer(teacher, x))
    assert (derived.encoders, derived.decoders) == ((None,), (None,))
    assert [group.name for group in derived.student_groups] == ["student_g0", "student_g1"]
    assert derived.report.notes == ()
    assert derived.report.boundaries == ((16, 16),)


@pytest.mark.parametrize("width", [0.3, 0.5, 0.75])
def test_the_width_is_the_share_of_each_layer_that_stays(width: float) -> None:
    teacher = resnet_groups()
    derived = derive_student(teacher, width, 1.0, round_to=4)
    for group in derived.report.prune.groups:
        assert group.after == min(group.before, -(-round(width * group.before, 6) // 4) * 4)
    kept = {f"teacher{name.removeprefix('student')}": channels for name, channels in derived.report.prune.kept.items()}
    x = example_inputs(teacher[0], 3)
    expected = masked_answer(join_groups(teacher), kept, x)
    # float32 sums with fewer terms, as in test_prune_exactness.
    assert relative_difference(answer(derived.student_groups, x), expected) < 1e-4
    assert relative_difference(answer(teacher, x), expected) > 1e-2


@pytest.mark.parametrize("build", [resnet_groups, lambda: cut(inverted(), 3), lambda: cut(plain(), 2)])
def test_any_convolutional_teacher_has_a_student_that_fits(build) -> None:
    teacher = build()
    before = [weight.copy() for group in teacher for weight in group.get_weights()]
    derived = derive_student(teacher, 0.5, 0.5)
    pair = derived.pair(teacher)
    make_pair(derived.student_groups, teacher)  # it checks every boundary
    x = example_inputs(teacher[0], 2)
    for mix in mixes(len(teacher)):
        logits = answer(pair.chain(mix), x)
        assert logits.shape == (2, 5)
        assert np.isfinite(logits).all()
    assert sum(g.count_params() for g in pair.student) < 0.5 * sum(g.count_params() for g in teacher)
    for old, new in zip(before, (w for group in teacher for w in group.get_weights()), strict=True):
        np.testing.assert_array_equal(old, new)
    if len(teacher) == 2:
        export_pair(pair)  # it compares each file's answer with Keras'


def test_encoders_pick_channels_and_decoders_put_them_back() -> None:
    teacher = resnet_groups()
    derived = derive_student(teacher, 0.5, 1.0)
    kept = list(derived.report.prune.kept["student_g0/teacher_g0_block1_2_conv"])
    t = example_inputs(teacher[1], 2)
    encoded = np.asarray(derived.encoders[0](t))
    np.testing.assert_array_equal(encoded, t[..., kept])
    decoded = np.asarray(derived.decoders[0](encoded))
    np.testing.assert_array_equal(decoded[..., kept], t[..., kept])
    gone = np.setdiff1d(np.arange(t.shape[-1]), kept)
    assert not decoded[..., gone].any()
    np.testing.assert_array_equal(derived.encoders[0](decoded), encoded)


@pytest.mark.parametrize("measured", [True, False])
def test_the_block_that_does_nothing_goes_first(measured: bool) -> None:
    teacher = resnet_groups()
    silent = teacher[1].get_layer("teacher_g1_block1_2_bn")
    silent.gamma.assign(np.zeros(32))
    silent.beta.assign(np.zeros(32))
    x = example_inputs(teacher[0], 4)
    derived = derive_student(teacher, 1.0, 0.8, data=x if measured else None)
    assert [block.layer for block in derived.report.blocks if block.dropped] == ["teacher_g1_block1_add"]
    assert derived.report.num_blocks == 5
    # The block added 0.
    np.testing.assert_allclose(answer(derived.student_groups, x), answer(teacher, x), rtol=1e-6, atol=1e-6)
    assert "teacher_g1_block1_1_conv" not in [layer.name for layer in derived.student_groups[1].layers]


def test_images_tell_how_far_the_features_move() -> None:
    teacher = resnet_groups()
    x = example_inputs(teacher[0], 4)
    report = derive_student(teacher, 1.0, 1.0, data=x).report
    shallow = derive_student(teacher, 1.0, 0.0, data=x)
    (block,) = [block for block in report.blocks if block.layer == "teacher_g0_block1_add"]
    flat = keras.Model(teacher[0].input, teacher[0].get_layer("teacher_g0_block0_relu").output)
    whole, without = np.asarray(teacher[0](x)), np.asarray(flat(x))
    expected = np.linalg.norm(whole - without) / np.linalg.norm(whole)
    assert block.change == pytest.approx(expected, rel=1e-5)  # float32
    assert all(block.dropped for block in shallow.report.blocks)


def test_every_group_keeps_weights_and_projections_stay() -> None:
    inputs = keras.Input((8,))
    x = L.Dense(8, name="stem")(inputs)
    y = L.Add(name="only")([x, L.Dense(8, activation="relu")(x)])
    model = keras.Model(inputs, L.Dense(3, name="logits")(y))
    teacher = cut(model, cuts=["stem", "only"])
    derived = derive_student(teacher, 1.0, 0.0)
    assert [block.dropped for block in derived.report.blocks] == [False]
    (note,) = derived.report.notes
    assert note == (
        "depth 0: 1 of 1 residual blocks stay; only 1 have an identity shortcut, and a group keeps one layer with "
        "weights."
    )


def test_a_plain_teacher_has_nothing_to_drop_and_that_is_said() -> None:
    report = derive_student(cut(plain(), 2), 0.5, 0.5).report
    assert report.notes == ("depth 0.5: the teacher has no residual blocks, so all of its layers stay.",)
    assert report.blocks == ()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "Received width 0; expected more than 0"),
        ({"width": 1.5}, "Received width 1.5"),
        ({"width": "half"}, "Received width 'half'"),
        ({"depth": -0.1}, "Received depth -0.1; expected 0 to 1"),
        ({"depth": True}, "Received depth True"),
        ({"importance": "magic"}, "Unknown importance 'magic'"),
        ({"round_to": 0}, "Received round_to 0"),
        ({"data": np.zeros((2, 4, 4, 1), "float32")}, r"shape \(2, 4, 4, 1\); expected one or more"),
        ({"data": np.zeros((2, 8, 8, 1), "uint8")}, "expected float32, preprocessed"),
    ],
)
def test_arguments_out_of_range(options: dict, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        derive_student(resnet_groups(), **options)


def test_teachers_that_are_none() -> None:
    class Subclassed(keras.Model):
        def call(self, x):
            return x

    for groups, message in (
        ((), "Received no groups"),
        ((Subclassed(),), "a subclassed model whose calls cannot be read"),
        ((resnet_groups()[0],) * 2, "a name of its own"),
    ):
        with pytest.raises(ModelError, match=message):
            derive_student(groups)


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits", validation=0.1, seed=0)


@pytest.fixture(scope="module")
def trained(digits) -> tuple[keras.Model, ...]:
    keras.utils.set_random_seed(0)
    teacher = build_groups("resnet", digits.input_shape, 10, name="teacher", widths=(16, 32), depths=(2, 2), seed=0)
    batches = Batches(digits.train.x, digits.train.y, digits.preprocess, 64, 0)
    config = TrainConfig(epochs=8, batch_size=64, learning_rate=0.05)
    fit(compose(teacher, "teacher"), batches, config, loss=cross_entropy())
    return teacher


def accuracy(models, digits) -> float:
    x, y = digits.preprocess(digits.test.x), digits.test.y
    return float((compose(models, "m").predict(x, verbose=0).argmax(-1) == y).mean())


@pytest.mark.slow
def test_students_of_a_trained_teacher_answer_before_any_training(trained, digits) -> None:
    whole = accuracy(trained, digits)
    assert whole > 0.9
    same = derive_student(trained, 1.0, 1.0)
    assert accuracy(same.student_groups, digits) == whole
    x = digits.preprocess(digits.train.x[:512])
    half = derive_student(trained, 0.5, 1.0)
    reestimate_statistics(half.student_groups, x)
    selected = accuracy(half.student_groups, digits)
    assert selected > 0.15, selected  # chance is 0.1
    match_features(half, trained, x)
    found = {mix: accuracy(half.pair(trained).chain(mix), digits) for mix in mixes(2)}
    assert found[Mix("SS")] > max(0.75, 2 * selected), found
    assert min(found.values()) > 0.5, found
