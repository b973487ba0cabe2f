import numpy as np
import pytest

from tfpwl.errors import ModelError
from tfpwl.models import build_groups
from tfpwl.wave import find_kernels, start_by_pruning, start_by_selection, start_random
from tfpwl.wave.matching import match_names


@pytest.mark.parametrize("start", [start_by_selection, start_by_pruning])
def test_a_student_of_the_teachers_size_becomes_the_teacher(family, start, shaken, logits, images):
    _, build = family
    teacher, student = shaken(build(2, 8, name="teacher")), build(2, 8, seed=9)
    start(student, teacher)
    np.testing.assert_array_equal(logits(student, images), logits(teacher, images))


@pytest.mark.parametrize("start", [start_by_selection, start_by_pruning])
def test_every_weight_is_a_piece_of_the_teachers(family, start, shaken):
    _, build = family
    teacher, student = shaken(build(4, 16, name="teacher")), build(2, 8)
    start(student, teacher)
    held = {value for group in teacher for w in group.get_weights() for value in w.ravel().tolist()}
    for group in student:
        for w in group.get_weights():
            assert set(w.ravel().tolist()) <= held


def test_pruning_keeps_what_matters_and_the_network_works_as_before(family, logits, images, shaken):
    """A teacher with dead channels computes the same when pruning leaves them out."""
    name, build = family
    teacher = shaken(build(1, 8, name="teacher"))
    dead = np.arange(8) % 2 == 0
    for layer in (layer for group in teacher for layer in group.layers):
        layer.set_weights([_kill(w, dead) for w in layer.get_weights()])
    student = build(1, 4)
    start_by_pruning(student, teacher)
    if name == "resnet":  # no layer normalization, which would see half as many channels
        np.testing.assert_allclose(logits(student, images), logits(teacher, images), rtol=1e-4, atol=1e-4)  # float32
    for group in student:
        for layer in group.layers:
            for w in layer.get_weights():
                assert np.count_nonzero(w) > 0 or w.ndim == 1


def _kill(weight, dead):
    for axis, size in enumerate(weight.shape):
        if weight.ndim != 3 or axis in (0, weight.ndim - 1):  # not the heads of an attention
            where = dead if size == 8 else np.repeat(dead, 2) if size == 16 else None
            if where is not None:
                weight[(slice(None),) * axis + (where,)] = 0.0
    return weight


def test_blocks_are_matched_at_the_same_share_of_the_depth():
    def names(model, blocks):
        return [f"{model}_g{b // 2}_layer{b % 2}_fc1" for b in range(blocks)] + [f"{model}_g0_embedding"]

    matched = match_names(names("s", 3), names("t", 9), through=True)
    assert matched == {
        "s_g0_layer0_fc1": "t_g0_layer0_fc1", "s_g0_layer1_fc1": "t_g2_layer0_fc1",
        "s_g1_layer0_fc1": "t_g4_layer0_fc1", "s_g0_embedding": "t_g0_embedding",
    }  # fmt: skip


def test_staged_families_need_as_many_stages(family):
    name, build = family
    if name == "vit":
        start_by_selection(build(1, 8), build(3, 8, name="teacher"))  # blocks count through all groups
        return
    other = build_groups("resnet", (8, 8, 1), 3, name="teacher", widths=(8,), depths=(2,))
    with pytest.raises(ModelError, match="The student has 2 groups and the teacher 1; layers are matched"):
        start_by_selection(build(1, 8), other)


def test_another_number_of_classes_keeps_the_students_own_classifier(family):
    name, build = family
    params = {"vit": {"patch": 4, "width": 8, "depth": 1, "heads": 2, "mlp": 16, "groups": 1},
              "resnet": {"widths": (8, 16), "depths": (1, 1)}}[name]  # fmt: skip
    student = build_groups(name, (8, 8, 1), 5, name="student", **params)
    before = student[-1].layers[-1].get_weights()
    start_by_selection(student, build(1, 8, name="teacher"))
    np.testing.assert_array_equal(student[-1].layers[-1].get_weights()[0], before[0])


def test_random_starts_are_cut_normals_of_the_familys_deviation(family):
    _, build = family
    fresh, student = build(2, 16), build(2, 16)
    start_random(student, seed=3)
    for kernel in find_kernels(student):
        old, new = (
            next(layer for g in side for layer in g.layers if layer.name == kernel.layer).get_weights()[kernel.index]
            for side in (fresh, student)
        )
        assert not np.array_equal(old, new)
        assert np.abs(new).max() <= 2.0 * old.std() / 0.87 + 1e-6
        if new.size > 500:
            assert new.std() == pytest.approx(old.std(), rel=0.15)  # of so many draws, five deviations
    again = build(2, 16)
    start_random(again, seed=3)
    for a, b in zip(student, again, strict=True):
        for one, other in zip(a.get_weights(), b.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)


def test_lenet5_passes_its_flatten(logits):
    def lenet(name, channels, units):
        return build_groups("lenet5", (28, 28, 1), 10, name=name, channels=channels, units=units)

    student = lenet("student", (3, 8), (60, 42))
    for start in (start_by_selection, start_by_pruning):
        start(student, lenet("teacher", (6, 16), (120, 84)))
    assert logits(student, np.zeros((1, 28, 28, 1), "float32")).shape == (1, 10)
