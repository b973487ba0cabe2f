"""Presets are the pairs of the PWL paper; build_groups refuses what a family does not take."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tfpwl.errors import ModelError
from tfpwl.models import FAMILIES, PRESETS, build_groups, find_preset
from tfpwl.pairs import make_pair


def conv_bn(i: int, o: int, k: int = 3) -> int:
    return k * k * i * o + 4 * o


def resnet_params(depths: tuple[int, ...]) -> int:
    total, channels = conv_bn(3, 64), 64
    for width, depth in zip((32, 64, 128, 256), depths, strict=True):
        total += conv_bn(channels, width) + conv_bn(width, width) + conv_bn(channels, width, 1)
        total += (depth - 1) * 2 * conv_bn(width, width)
        channels = width
    return total + 256 * 10 + 10


def vgg_params(depths: tuple[int, ...]) -> int:
    total, channels = 0, 3
    for width, depth in zip((64, 128, 256, 512, 512), depths, strict=True):
        total += conv_bn(channels, width) + (depth - 1) * conv_bn(width, width)
        channels = width
    return total + 512 * 10 + 10


def vit_params(depth: int) -> int:
    w, m = 192, 768
    layer = 4 * (w * w + w) + 4 * w + (w * m + m) + (m * w + w)
    return 16 * 16 * 3 * w + 197 * w + depth * layer + 2 * w + w * 10 + 10


def lenet5_params(a: int, b: int) -> int:
    return (25 * a + a) + (25 * a * b + b) + (25 * b * 120 + 120) + (120 * 84 + 84) + (84 * 10 + 10)


DEFINED = {
    "resnet-cifar": (resnet_params((3, 4, 6, 3)), resnet_params((1, 1, 1, 1)), 4),
    "vgg-cifar": (vgg_params((2, 2, 3, 3, 3)), vgg_params((1, 1, 1, 1, 1)), 5),
    "vit-tiny": (vit_params(12), vit_params(6), 6),
    "lenet5": (lenet5_params(6, 16), lenet5_params(3, 8), 4),
}


def test_the_formulas_give_the_published_sizes() -> None:
    assert DEFINED["resnet-cifar"][1] == 1_244_234
    assert DEFINED["resnet-cifar"][0] == pytest.approx(5.3e6, rel=0.01)  # the authors' pair
    assert DEFINED["lenet5"][0] == 61_706  # LeNet-5 with ten outputs, in every textbook
    # timm's vit_tiny_patch16_224 with ten classes; its class token and patch bias (192 each) are ours folded away.
    assert DEFINED["vit-tiny"][0] == 5_526_346 - 2 * 192


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_have_the_parameters_and_groups_of_their_definition(name: str) -> None:
    preset = find_preset(name)
    teacher_params, student_params, num_groups = DEFINED[name]
    for params, expected in ((preset.teacher, teacher_params), (preset.student, student_params)):
        groups = build_groups(preset.family, preset.input_shape, 10, name="side", **params)
        assert sum(group.count_params() for group in groups) == expected
        assert len(groups) == num_groups


@pytest.mark.parametrize(
    ("name", "shape"), [("resnet-cifar", (8, 8, 3)), ("lenet5", (8, 8, 1)), ("vit-tiny", (32, 32, 3))]
)
def test_presets_pair_on_small_images_too(name: str, shape: tuple[int, int, int]) -> None:
    preset = find_preset(name)
    pair = make_pair(
        build_groups(preset.family, shape, 3, name="student", **preset.student),
        build_groups(preset.family, shape, 3, name="teacher", **preset.teacher),
    )
    widths_differ = [b.needs_converters for b in pair.boundaries]
    assert widths_differ == ([True, True, False] if name == "lenet5" else [False] * (pair.num_groups - 1))


def test_vgg_preset_pairs_at_its_own_size() -> None:
    preset = find_preset("vgg-cifar")
    sides = [
        build_groups("vgg", preset.input_shape, 10, name=n, **p)
        for n, p in (("student", preset.student), ("teacher", preset.teacher))
    ]
    pair = make_pair(*sides)
    assert [b.teacher for b in pair.boundaries] == [(16, 16, 64), (8, 8, 128), (4, 4, 256), (2, 2, 512)]


def test_presets_name_families_and_cannot_be_changed() -> None:
    assert {preset.family for preset in PRESETS.values()} == set(FAMILIES)
    with pytest.raises(TypeError):
        PRESETS["lenet5"].teacher["channels"] = (1, 1)  # type: ignore[index]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: build_groups("resnt", (8, 8, 1), 10, name="n"), r"Unknown family 'resnt'.*Did you mean 'resnet'\?"),
        (
            lambda: build_groups("resnet", (8, 8, 1), 10, name="n", width=(4,), depths=(1,)),
            r"'resnet' has no parameter 'width'; it takes widths, depths, stem\. Did you mean 'widths'\?",
        ),
        (
            lambda: build_groups("vgg", (8, 8, 1), 10, name="n", widths=(4,), depths=(1,), zzz=1),
            r"'vgg' has no parameter 'zzz'; it takes widths, depths\.$",
        ),
        (lambda: build_groups("vgg", (8, 8, 1), 10, name="n", widths=(4,)), r"'vgg' needs depths; received widths"),
        (lambda: build_groups("vgg", (8, 8, 1), 10, name="n"), r"needs widths, depths; received nothing"),
        (lambda: find_preset("resnet_cifar"), r"Unknown preset 'resnet_cifar'.*Did you mean 'resnet-cifar'\?"),
    ],
)
def test_unknown_names_get_the_nearest_right_one(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        call()


def test_lists_from_yaml_build_the_same_model_as_tuples() -> None:
    a = build_groups("resnet", [8, 8, 1], 3, name="n", widths=[2, 3], depths=[1, 1])
    b = build_groups("resnet", (8, 8, 1), 3, name="n", widths=(2, 3), depths=(1, 1))
    assert [g.output_shape for g in a] == [g.output_shape for g in b]
