import keras
import numpy as np
import pytest

from tfpwl.errors import ModelError
from tfpwl.models import build_groups
from tfpwl.training import cross_entropy
from tfpwl.wave import count_scalers, find_kernels, kroneckerise, make_bank, materialise, template_shapes
from tfpwl.wave.layers import KroneckerLayer


@pytest.fixture
def lenet5():
    return build_groups("lenet5", (28, 28, 1), 10, name="student", channels=(4, 8), units=(24, 16))


@pytest.fixture
def vgg():
    return build_groups("vgg", (8, 8, 1), 3, name="student", widths=(4, 8), depths=(1, 2))


def test_a_materialised_model_has_ordinary_layers_and_the_same_outputs(family, make_templates, logits, images, shaken):
    name, build = family
    student = build(2, 8)
    groups = shaken(kroneckerise(student, make_bank(make_templates(name, student, build(1, 4)).templates)))
    made = materialise(groups)
    before = logits(groups, images)
    # float32; attention runs through another kernel of the backend
    np.testing.assert_allclose(logits(made, images), before, atol=1e-5 * max(1.0, np.abs(before).max()))
    assert not any(isinstance(layer, KroneckerLayer) for group in made for layer in group.layers)
    assert [type(a) for g in made for a in g.layers] == [type(a) for g in student for a in g.layers]
    assert [w.shape for g in made for w in g.weights] == [w.shape for g in student for w in g.weights]


@pytest.mark.parametrize("family_name", ["lenet5", "vgg"])
def test_other_cnn_families_go_through_as_well(request, family_name, make_templates, logits, shaken):
    student = request.getfixturevalue(family_name)
    x = np.random.default_rng(0).normal(size=(2, *student[0].input_shape[1:])).astype("float32")
    groups = shaken(kroneckerise(student, make_bank(make_templates(family_name, student).templates)))
    before = logits(groups, x)
    np.testing.assert_allclose(logits(materialise(groups), x), before, atol=1e-5 * max(1.0, np.abs(before).max()))


def test_kinds_of_a_vit_and_of_cnns(family, lenet5):
    name, build = family
    expected = {
        "vit": {"embedding", "position", "qkv", "output", "fc1", "fc2", "logits"},
        "resnet": {"stem", "conv3x3", "conv1x1", "logits"},
    }
    assert {kernel.kind for kernel in find_kernels(build(2, 8))} == expected[name]
    assert {kernel.kind for kernel in find_kernels(lenet5)} == {"stem", "conv5x5", "dense", "logits"}


def test_kernels_start_with_the_deviation_of_the_familys_own(family, make_templates):
    name, build = family
    student = build(2, 8)
    made = materialise(kroneckerise(student, make_bank(make_templates(name, student, build(1, 4)).templates), seed=3))
    for kernel in find_kernels(student):
        old, new = (
            next(layer for g in side for layer in g.layers if layer.name == kernel.layer).get_weights()[kernel.index]
            for side in (student, made)
        )
        np.testing.assert_allclose(new.std(), old.std(), rtol=1e-4)  # float32


def _gradients(groups, images):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        x = images
        for group in groups:
            x = group(x, training=True)
        loss = tf.reduce_mean(cross_entropy()(np.array([0, 1, 2, 0, 1]), x))
    variables = {v.path: v for group in groups for v in group.variables}
    return dict(zip(variables, tape.gradient(loss, [v.value for v in variables.values()]), strict=True))


@pytest.mark.parametrize("frozen", [True, False])
def test_gradients_flow_to_scalers_only_when_templates_are_frozen(family, make_templates, images, frozen):
    name, build = family
    student = build(2, 8)
    bank = make_bank(make_templates(name, student, build(1, 4)).templates, frozen=frozen)
    groups = kroneckerise(student, bank)
    trained = {v.path for group in groups for v in group.trainable_variables}
    templates = {layer.templates.path for layer in bank.values()}
    scalers = {path for path in trained if path.endswith("_scalers")}
    assert trained & templates == (set() if frozen else templates)
    assert len(scalers) == len(find_kernels(student))
    # What is neither is a vector of this size: a bias, a gain or an offset.
    assert all(v.ndim == 1 for g in groups for v in g.trainable_variables if v.path not in scalers | templates)
    gradients = _gradients(groups, images)
    for path in scalers:
        assert np.abs(gradients[path]).max() > 0, path
    for path in templates:
        assert (gradients[path] is None) == frozen, path


@pytest.mark.parametrize(("depth", "width"), [(1, 4), (2, 8), (3, 16)])
def test_scaler_counts_of_a_vit_follow_the_formula(depth, width, make_templates):
    def build(depth, width):
        params = {"patch": 4, "heads": width // 4, "mlp": 2 * width, "groups": 1}
        return build_groups("vit", (8, 8, 1), 3, name="student", depth=depth, width=width, **params)

    student, k, n = build(depth, width), 5, width // 4
    templates = make_templates("vit", student, build(1, 4), num=k).templates
    counts = count_scalers(student, templates)
    blocks = depth * n * n  # templates are 4x4, those of the hidden layer 4x8
    edge = {"embedding": k * n, "position": k * n, "logits": k * n}
    assert counts == {"qkv": 3 * k * blocks, "output": k * blocks, "fc1": k * blocks, "fc2": k * blocks, **edge}
    groups = kroneckerise(student, make_bank(templates))
    made = sum(int(np.prod(v.shape)) for g in groups for v in g.variables if v.path.endswith("_scalers"))
    assert made == sum(counts.values())


def test_scaler_counts_of_a_resnet_follow_the_formula(make_templates):
    def build(width, depth):
        return build_groups("resnet", (8, 8, 1), 3, name="s", widths=(width, 2 * width), depths=(depth, depth))

    k, depth, n = 3, 2, 3  # templates of 4 channels, widths 12 and 24
    counts = count_scalers(build(12, depth), make_templates("resnet", build(12, depth), build(4, 1), num=k).templates)
    first, second = 2 * depth * n * n, n * 2 * n + (2 * depth - 1) * (2 * n) ** 2
    # Of conv1x1 there is one, 12 -> 24 (templates 4x8); logits read 24 channels through templates of 8.
    assert counts == {"stem": k * n, "conv3x3": k * (first + second), "conv1x1": k * n * n, "logits": k * n}


def test_widths_that_do_not_divide_name_layer_and_nearest(family, make_templates):
    name, build = family
    templates = make_templates(name, build(1, 8), build(1, 16))
    with pytest.raises(ModelError, match=r"student_g0_.*expected a multiple of 8\. The nearest that work: 8 and 16\."):
        kroneckerise(build(1, 12), make_bank(templates.templates))


def test_templates_of_another_family_lack_kinds(make_templates, vgg, family):
    name, build = family
    missing = {"vit": "embedding", "resnet": "conv1x1"}[name]
    with pytest.raises(ModelError, match=f"of kind '{missing}', and there are templates"):
        kroneckerise(build(2, 8), make_bank(make_templates("vgg", vgg).templates))


def test_given_shapes_are_taken_and_checked(family):
    name, build = family
    kind = {"vit": "qkv", "resnet": "conv3x3"}[name]
    assert template_shapes([build(1, 8)], {kind: (2, 4)})[kind][-2:] == (2, 4)
    with pytest.raises(ModelError, match="expected a multiple of 3"):
        template_shapes([build(1, 8)], {kind: (3, 4)})
    with pytest.raises(ModelError, match=r"Received template shapes for \['nope'\]; the kinds of this family: \["):
        template_shapes([build(1, 8)], {"nope": (2, 2)})


def test_a_layer_that_no_rule_covers_is_refused():
    inputs = keras.Input((8, 8, 1))
    model = keras.Model(inputs, keras.layers.DepthwiseConv2D(3, name="s_g0_x")(inputs))
    with pytest.raises(ModelError, match="'s_g0_x' of type DepthwiseConv2D with weights; templates are known for"):
        find_kernels([model])
