import numpy as np
import pytest

from tfpwl.errors import BoundaryError, ModelError
from tfpwl.mix import Mix
from tfpwl.models import resnet, vit
from tfpwl.pairs import load_pair, make_pair, named_models, save_pair

SHAPE = (8, 8, 1)


def groups(widths=(2, 4), side="student", shape=SHAPE, classes=3):
    return resnet(shape, classes, widths, (1,) * len(widths), name=side)


def test_converters_exist_where_widths_differ_only():
    pair = make_pair(groups((2, 4, 4)), groups((3, 4, 4), "teacher"))
    assert [b.needs_converters for b in pair.boundaries] == [True, False]
    assert sorted(named_models(pair)) == [
        "b0.decoder", "b0.encoder", "g0.student", "g0.teacher", "g1.student", "g1.teacher", "g2.student", "g2.teacher"
    ]  # fmt: skip


def test_a_converter_maps_channels_position_by_position():
    pair = make_pair(groups(), groups((3, 4), "teacher"))
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    kernel, bias = pair.encoders[0].get_weights()
    expected = np.einsum("nhwt,ts->nhws", x, kernel[0, 0]) + bias
    np.testing.assert_allclose(pair.encoders[0](x), expected, rtol=1e-5, atol=1e-6)  # float32


def test_tokens_get_converters_too():
    def make(side, width):
        return vit(SHAPE, 3, patch=4, width=width, depth=2, heads=2, mlp=8, groups=2, name=side)

    pair = make_pair(make("student", 4), make("teacher", 8))
    assert pair.decoders[0].output_shape == (None, 5, 8)


def test_a_mix_runs_its_groups_with_a_converter_at_every_switch():
    pair = make_pair(groups((2, 4, 4)), groups((3, 6, 6), "teacher"))
    names = [model.name for model in pair.chain(Mix("TST"))]
    assert names == ["teacher_g0", "b0_encoder", "student_g1", "b1_decoder", "teacher_g2"]


def test_the_same_seed_makes_the_same_converters():
    a, b = (make_pair(groups(), groups((3, 4), "teacher"), seed=4) for _ in range(2))
    for x, y in zip(a.encoders[0].get_weights(), b.encoders[0].get_weights(), strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize(
    ("student", "teacher", "error", "message"),
    [
        ({"widths": (2, 4, 4)}, {}, BoundaryError, "student has 3 groups and the teacher 2"),
        ({"widths": (8, 4)}, {}, ModelError, r"Boundary 0: the student has 8 channels and the teacher 3.*not be wider"),
        ({"shape": (6, 6, 1)}, {}, ModelError, r"student's input shape is \(6, 6, 1\)"),
        ({"classes": 4}, {}, ModelError, r"student's output shape is \(4,\) and the teacher's \(3,\)"),
    ],
)
def test_sides_that_do_not_fit_are_refused(student, teacher, error, message):
    with pytest.raises(error, match=message):
        make_pair(groups(**student), groups(**{"widths": (3, 4), **teacher}, side="teacher"))


def test_a_spatial_mismatch_names_the_boundary_and_both_shapes():
    import keras

    inputs = keras.Input(SHAPE)
    halved = keras.Model(inputs, keras.layers.Conv2D(2, 3, strides=2, padding="same")(inputs))
    rest = keras.Input((4, 4, 2))
    head = keras.Model(rest, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(rest)))
    with pytest.raises(BoundaryError, match=r"Boundary 0: .*\(4, 4, 2\).*\(8, 8, 3\).*downsample in the same groups"):
        make_pair([halved, head], groups((3, 4), "teacher"))


def test_a_pair_comes_back_from_disk(tmp_path):
    pair = make_pair(groups(), groups((3, 4), "teacher"))
    save_pair(pair, tmp_path / "pair")
    again = load_pair(tmp_path / "pair")
    assert list(named_models(again)) == list(named_models(pair))
    for stem, model in named_models(pair).items():
        for x, y in zip(model.get_weights(), named_models(again)[stem].get_weights(), strict=True):
            np.testing.assert_array_equal(x, y)


def test_an_empty_or_broken_folder_is_a_clear_error(tmp_path):
    with pytest.raises(ModelError, match="No student groups in"):
        load_pair(tmp_path)
    (tmp_path / "g0.student.keras").write_bytes(b"no zip")
    with pytest.raises(ModelError, match=r"Cannot read the Keras model .*g0\.student\.keras"):
        load_pair(tmp_path)
