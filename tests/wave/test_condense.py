import numpy as np
import pytest

from tfpwl.config import TrainConfig
from tfpwl.errors import ModelError
from tfpwl.pairs import compose
from tfpwl.training import cross_entropy, fit
from tfpwl.wave import condense, find_kernels, initialise, kroneckerise, make_bank, materialise, template_shapes
from tfpwl.wave.auxiliary import num_blocks
from tfpwl.wave.condense import decompose, set_scalers, to_blocks
from tfpwl.wave.initialise import Steps, resize_scalers


def config(**changes):
    given = {"epochs": 2, "batch_size": 16, "optimizer": "adamw", "learning_rate": 0.003, "weight_decay": 0.0}
    return TrainConfig(**{**given, "clip_norm": 1.0, **changes})


_TRAINED, _CONDENSED = {}, {}  # by family: training is what these tests spend their time on


@pytest.fixture
def trained(family, batches):
    """A teacher that knows the task; no test changes it."""
    name, build = family
    if name not in _TRAINED:
        _TRAINED[name] = build(2, 8, name="teacher")
        fit(compose(_TRAINED[name], "t"), batches(), config(epochs=12, learning_rate=0.01), loss=cross_entropy())
    return name, build, _TRAINED[name]


@pytest.fixture
def condensed(trained, batches):
    """Templates of 4 channels from that teacher."""
    name, build, teacher = trained
    if name not in _CONDENSED:
        _CONDENSED[name], _ = condense(teacher, teacher, batches(), config(), family=name, wanted=[build(1, 4)])
    return _CONDENSED[name]


@pytest.mark.parametrize("shape", [(12, 8), (3, 3, 4, 6)])
def test_blocks_are_the_pieces_of_a_weight(shape):
    weight = np.random.default_rng(0).normal(size=shape)
    rows = to_blocks(weight, (*shape[:-2], 4, 2))
    for i in range(shape[-2] // 4):
        for j in range(shape[-1] // 2):
            piece = weight[..., 4 * i : 4 * i + 4, 2 * j : 2 * j + 2]
            np.testing.assert_array_equal(rows[i * (shape[-1] // 2) + j], piece.ravel())


def test_with_enough_templates_the_decomposition_is_the_model(family, logits, images, shaken):
    _, build = family
    teacher = shaken(build(2, 8, name="teacher"))
    shapes = template_shapes([teacher, build(1, 4)])
    templates, scalers = decompose(teacher, shapes, num_blocks(teacher, shapes))
    groups = kroneckerise(teacher, make_bank(templates))
    set_scalers(groups, scalers)
    # float32, through a singular value decomposition of every kernel
    np.testing.assert_allclose(logits(materialise(groups), images), logits(teacher, images), rtol=1e-3, atol=1e-4)


def test_fewer_templates_are_the_nearest_of_their_number(family, shaken):
    _, build = family
    teacher = shaken(build(2, 8, name="teacher"))
    shapes = template_shapes([teacher, build(1, 4)])
    kind = {"vit": "fc1", "resnet": "conv3x3"}[family[0]]
    counts = {**num_blocks(teacher, shapes), kind: 3}
    templates, scalers = decompose(teacher, shapes, counts)
    values = {layer.name: layer.get_weights() for group in teacher for layer in group.layers}
    members = [kernel for kernel in find_kernels(teacher) if kernel.kind == kind]
    rows = np.concatenate([to_blocks(kernel.view(values[kernel.layer][0]), shapes[kind]) for kernel in members])
    made = np.concatenate([scalers[kernel.name].reshape(3, -1).T for kernel in members]) @ templates[kind].reshape(
        3, -1
    )
    beyond = np.linalg.svd(rows, compute_uv=False)[3:]
    np.testing.assert_allclose(np.square(rows - made).sum(), np.square(beyond).sum(), rtol=1e-3)  # Eckart and Young


def test_condensing_learns_and_leaves_the_teacher_alone(trained, batches, logits, images):
    name, build, teacher = trained
    before = logits(teacher, images)
    templates, history = condense(
        teacher, teacher, batches(), config(epochs=4), family=name, wanted=[build(1, 4)], num_templates=2
    )
    assert history.epochs[-1]["loss"] < history.epochs[0]["loss"]
    assert history.epochs[-1]["accuracy"] > 0.5  # of three classes
    np.testing.assert_array_equal(logits(teacher, images), before)
    assert all(group.trainable for group in teacher)
    assert {value.shape[0] for value in templates.templates.values()} <= {1, 2}
    assert set(templates.scalers) == {kernel.name for kernel in find_kernels(teacher)}


def test_an_auxiliary_model_of_another_size_starts_from_noise_and_learns(trained, batches):
    name, build, teacher = trained
    templates, history = condense(teacher, build(1, 8), batches(), config(epochs=4), family=name, wanted=[build(1, 4)])
    assert history.epochs[-1]["loss"] < history.epochs[0]["loss"]
    assert templates.family == name


def test_the_loss_is_hard_and_soft_loss_of_the_paper(trained, images):
    from tfpwl.distill.losses import hard_loss, soft_loss
    from tfpwl.wave.condense import Condenser

    _, build, trained_teacher = trained
    teacher = build(2, 8, name="teacher")  # the net freezes what it is given
    for group, source in zip(teacher, trained_teacher, strict=True):
        group.set_weights(source.get_weights())
    net = Condenser(compose(build(1, 8), "s"), compose(teacher, "t"), temperature=3.0, alpha=0.3, augment=None)
    y = np.array([0, 1, 2, 0, 1])
    found = net(images, training=True)
    expected = 0.3 * hard_loss(found["student"], y) + 0.7 * soft_loss(
        found["teacher"], found["student"], temperature=3.0
    )
    assert float(net.compute_loss(images, y, found)) == pytest.approx(float(expected), rel=1e-5)  # float32


def test_an_interrupted_condensing_ends_with_the_same_templates(trained, batches, tmp_path):
    name, build, teacher = trained

    def run(checkpoint=None, stop_after=None):
        def on_progress(done, total, metrics):
            if stop_after is not None and done > stop_after:
                raise KeyboardInterrupt

        templates, _ = condense(
            teacher, teacher, batches(), config(epochs=3), family=name, wanted=[build(1, 4)],
            checkpoint=checkpoint, on_progress=on_progress,
        )  # fmt: skip
        return {**templates.templates, **templates.scalers}

    undisturbed = run()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, stop_after=4)  # 3 steps an epoch: at the end of the second
    for name_, value in run(tmp_path).items():
        np.testing.assert_array_equal(value, undisturbed[name_], err_msg=name_)


@pytest.mark.parametrize(("depth", "width", "start"), [(1, 4, "auxiliary"), (3, 12, "random")])
def test_a_student_of_any_size_starts_from_templates(*, family, condensed, batches, depth, width, start):
    _, build = family
    templates = condensed
    student = build(depth, width)
    shapes = [w.shape for group in student for w in group.get_weights()]
    history = initialise(student, templates, batches(), steps=8, scaler_start=start, seed=4)
    assert np.isfinite(history.epochs[0]["loss"])
    assert [w.shape for group in student for w in group.get_weights()] == shapes
    for kernel in find_kernels(student):  # every block is in the span of the templates
        layer = next(layer for group in student for layer in group.layers if layer.name == kernel.layer)
        basis = templates.templates[kernel.kind].reshape(len(templates.templates[kernel.kind]), -1)
        rows = to_blocks(kernel.view(layer.get_weights()[kernel.index]), templates.templates[kernel.kind].shape[1:])
        solved, *_ = np.linalg.lstsq(basis.T, rows.T, rcond=None)
        np.testing.assert_allclose(basis.T @ solved, rows.T, atol=1e-4, err_msg=kernel.name)  # float32


def test_the_auxiliarys_own_size_takes_its_scalers_as_they_are(family, condensed):
    resized = resize_scalers(family[1](2, 8), condensed)
    assert set(resized) == {key.replace("teacher", "student") for key in condensed.scalers}
    for key, value in resized.items():
        np.testing.assert_array_equal(value, condensed.scalers[key.replace("student", "teacher")])


def test_the_same_seed_gives_the_same_student(family, condensed, batches):
    made = []
    for _ in range(2):
        student = family[1](1, 4)
        initialise(student, condensed, batches(), steps=4, scaler_start="random", seed=9)
        made.append([w for group in student for w in group.get_weights()])
    for a, b in zip(*made, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_width_that_does_not_divide_is_refused_before_anything_trains(make_templates, family, batches):
    name, build = family
    with pytest.raises(ModelError, match="expected a multiple of 8"):
        initialise(build(1, 12), make_templates(name, build(1, 8), build(1, 16)), batches(), steps=1)


def test_steps_run_through_the_epochs_of_their_source(batches):
    source, steps = batches(), Steps(batches(), 7)  # 3 batches an epoch
    for index in range(7):
        source.set_epoch(index // 3)
        np.testing.assert_array_equal(steps[index][0], source[index % 3][0])
    assert len(steps) == 7
