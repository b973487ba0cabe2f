"""A pipeline's teacher and student sections become groups; what the student leaves out comes from the teacher."""

from __future__ import annotations

import pytest

from tfpwl.config import ModelConfig
from tfpwl.errors import ModelError
from tfpwl.models import build_side


def filters(config: ModelConfig, side: str, teacher: ModelConfig | None = None) -> list[int]:
    groups = build_side(config, side, (8, 8, 3), 10, seed=0, teacher=teacher)
    return [group.output_shape[-1] for group in groups]


def test_a_student_takes_the_teachers_family_and_what_it_does_not_give() -> None:
    teacher = ModelConfig(family="resnet", widths=(4, 6), depths=(2, 2))
    groups = build_side(ModelConfig(depths=(1, 1)), "student", (8, 8, 3), 10, seed=0, teacher=teacher)
    assert [g.name for g in groups] == ["student_g0", "student_g1"]
    assert groups[0].output_shape[-1] == 4
    assert not any("block1" in layer.name for layer in groups[0].layers)


def test_a_student_of_a_preset_is_the_presets_student_with_its_own_changes() -> None:
    teacher = ModelConfig(preset="resnet-cifar")
    assert filters(ModelConfig(widths=(8, 16, 24, 32)), "student", teacher) == [8, 16, 24, 10]
    student = build_side(ModelConfig(), "student", (32, 32, 3), 10, seed=0, teacher=teacher)
    assert sum(group.count_params() for group in student) == 1_244_234


def test_a_student_without_any_difference_is_refused() -> None:
    teacher = ModelConfig(family="resnet", widths=(4, 6), depths=(2, 2))
    with pytest.raises(ModelError, match=r"student: nothing is given.*smaller parameters"):
        filters(ModelConfig(), "student", teacher)


def test_errors_name_the_side() -> None:
    with pytest.raises(ModelError, match=r"teacher: .*'resnet' has no parameter 'patch'"):
        filters(ModelConfig(family="resnet", widths=(4,), depths=(1,), patch=2), "teacher")
    with pytest.raises(ModelError, match=r"student: expected `family:` or `preset:`"):
        filters(ModelConfig(), "student")
