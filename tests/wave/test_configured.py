import numpy as np
import pytest

from tfpwl.config import validate
from tfpwl.data import load_dataset
from tfpwl.errors import ConfigError
from tfpwl.models import build_side
from tfpwl.wave import condense_pipeline, find_kernels, load_templates, save_templates, start_student
from tfpwl.wave.configured import derive_size


def pipeline(init, **wave):
    return validate(
        {
            "name": "p", "data": {"name": "digits", "limit": 64, "augment": {"rotation": 5}},
            "teacher": {"family": "resnet", "widths": [8, 16], "depths": [1, 1]},
            "student": {"widths": [4, 8], "init": init},
            "wave": {"condense": {"epochs": 1, "batch_size": 32}, "scaler_steps": 2, **wave},
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def data():
    return load_dataset("digits", limit=64)


def sides(config, data):
    teacher = build_side(config.teacher, "teacher", data.input_shape, data.num_classes, seed=1)
    return teacher, build_side(
        config.student, "student", data.input_shape, data.num_classes, seed=2, teacher=config.teacher
    )


def test_a_pipeline_condenses_once_for_its_student_and_other_sizes(data, tmp_path):
    config = pipeline("wave", sizes=[{"widths": [4, 4]}], num_templates=3)
    teacher, student = sides(config, data)
    templates = condense_pipeline(config, data, teacher)
    assert templates.templates["conv3x3"].shape == (3, 3, 3, 4, 4)
    save_templates(templates, tmp_path / "t.npz")
    templates = load_templates(tmp_path / "t.npz", family="resnet")
    before = student[0].get_weights()[0]
    start_student(student, config, data, teacher=teacher, templates=templates)
    assert not np.array_equal(student[0].get_weights()[0], before)
    assert derive_size(templates, {"widths": [4, 4]}) == {"widths": [4, 4], "depths": [1, 1]}


@pytest.mark.parametrize("init", ["fresh", "random", "select", "prune"])
def test_every_start_gives_a_whole_student(data, init):
    config = pipeline(init)
    teacher, student = sides(config, data)
    before = [w for group in student for w in group.get_weights()]
    start_student(student, config, data, teacher=teacher)
    same = [np.array_equal(a, b) for a, b in zip(before, (w for g in student for w in g.get_weights()), strict=True)]
    assert all(same) == (init == "fresh")
    assert len(find_kernels(student)) == len(find_kernels(teacher))


def test_a_wave_start_without_templates_is_refused(data):
    config = pipeline("wave")
    teacher, student = sides(config, data)
    with pytest.raises(ConfigError, match=r"student\.init is wave, and no templates were condensed"):
        start_student(student, config, data, teacher=teacher)


def test_a_fresh_start_keeps_the_sum_of_older_pipelines():
    config = validate({"name": "p", "data": {"name": "digits"}, "teacher": {"family": "lenet5"}})
    assert "init" not in config.model_dump(mode="json")["student"]
    chosen = config.model_copy(update={"student": config.student.model_copy(update={"init": "select"})})
    assert chosen.sha256() != config.sha256()


def test_sizes_of_a_vit_follow_the_teacher():
    from tfpwl.wave import TemplateSet

    teacher = {"patch": 4, "width": 64, "depth": 6, "heads": 4, "mlp": 128, "groups": 3}
    templates = TemplateSet("vit", {}, {}, {"teacher": teacher})
    assert derive_size(templates, {"width": 32, "depth": 4}) == {
        "patch": 4, "width": 32, "depth": 4, "heads": 2, "mlp": 64, "groups": 4
    }  # fmt: skip
    assert derive_size(templates, {"depth": 3})["groups"] == 3
