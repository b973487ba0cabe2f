"""The four families: sizes by their definitions, boundaries, seeds, files that load anywhere, refusals."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from tfpwl.errors import ModelError
from tfpwl.models import FAMILIES, lenet5, resnet, vgg, vit

TINY: dict[str, Callable[..., tuple[keras.Model, ...]]] = {
    "lenet5": lambda **kw: lenet5((8, 8, 1), 5, (2, 3), (6, 4), **kw),
    "vgg": lambda **kw: vgg((8, 8, 1), 5, (3, 4), (1, 2), **kw),
    "resnet": lambda **kw: resnet((8, 8, 1), 5, (3, 4), (2, 1), **kw),
    "vit": lambda **kw: vit((8, 8, 1), 5, patch=4, width=8, depth=2, heads=2, mlp=12, groups=2, **kw),
}


@pytest.fixture(params=sorted(TINY))
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def count(groups: tuple[keras.Model, ...]) -> int:
    return sum(group.count_params() for group in groups)


def weights(groups: tuple[keras.Model, ...]) -> list[np.ndarray]:
    return [w for group in groups for w in group.get_weights()]


def test_every_family_of_the_registry_is_tested_here() -> None:
    assert set(TINY) == set(FAMILIES)


def test_groups_chain_from_image_to_logits(family: str) -> None:
    groups = TINY[family]()
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 1)).astype(np.float32)
    for group in groups:
        assert group.input_shape[1:] == x.shape[1:]
        x = np.asarray(group(x, training=False))
    assert x.shape == (2, 5)
    # Logits, not probabilities: they do not add up to 1.
    assert not np.allclose(x.sum(axis=1), 1)


def test_layer_names_are_unique_over_the_model_and_start_with_the_group(family: str) -> None:
    groups = TINY[family](name="teacher")
    assert [g.name for g in groups] == [f"teacher_g{i}" for i in range(len(groups))]
    for group in groups:
        assert all(layer.name.startswith(f"{group.name}_") for layer in group.layers)
    names = [layer.name for group in groups for layer in group.layers]
    assert len(names) == len(set(names))


def test_names_do_not_depend_on_what_was_built_before(family: str) -> None:
    first, second = TINY[family](), TINY[family]()
    assert [[ly.name for ly in g.layers] for g in first] == [[ly.name for ly in g.layers] for g in second]


def test_one_seed_gives_the_same_weights_whatever_ran_before(family: str) -> None:
    before = weights(TINY[family](seed=3))
    keras.utils.set_random_seed(99)
    keras.layers.Dense(3).build((None, 3))
    after = weights(TINY[family](seed=3, name="renamed"))
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)


def test_another_seed_gives_other_kernels(family: str) -> None:
    for a, b in zip(weights(TINY[family](seed=3)), weights(TINY[family](seed=4)), strict=True):
        if a.ndim > 1 and a.any():  # biases start at zero; those of attention are rank 2
            assert not np.array_equal(a, b)


def test_no_two_kernels_of_a_model_start_out_equal(family: str) -> None:
    # Two kernels of one shape with one seed would be equal; attention did that with its query and key.
    kernels = [w.tobytes() for w in weights(TINY[family]()) if w.ndim > 1 and w.any()]
    assert len(kernels) == len(set(kernels))


# Keras saves a TensorFlow variable by np.array(variable), which TensorFlow has not yet brought to numpy 2.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_saved_groups_load_without_tfpwl(tmp_path: Path) -> None:
    expected = []
    for name, build in sorted(TINY.items()):
        for group in build(name=name):
            group.save(tmp_path / f"{group.name}.keras")
            expected.append(float(np.asarray(group(np.ones((1, *group.input_shape[1:]), np.float32))).sum()))
    script = (
        "import sys, pathlib, keras, numpy as np\n"
        f"for p in sorted(pathlib.Path({str(tmp_path)!r}).glob('*.keras')):\n"
        "    g = keras.saving.load_model(p, compile=False)\n"
        "    print(float(np.asarray(g(np.ones((1, *g.input_shape[1:]), 'float32'))).sum()))\n"
        "assert 'tfpwl' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    # Same kernels on the same machine, in another process: float32 sums agree to rounding.
    np.testing.assert_allclose([float(line) for line in done.stdout.split()], expected, rtol=1e-5, atol=1e-5)


def conv_bn_params(channels_in: int, channels_out: int, kernel: int = 3) -> int:
    return kernel * kernel * channels_in * channels_out + 4 * channels_out  # BN: gamma, beta, mean, variance


def test_resnet_has_the_parameters_of_its_definition() -> None:
    expected = conv_bn_params(1, 5)  # stem
    expected += conv_bn_params(5, 4) + conv_bn_params(4, 4) + conv_bn_params(5, 4, 1)  # 5 -> 4 needs a shortcut
    expected += 2 * conv_bn_params(4, 4)  # identity shortcut
    expected += conv_bn_params(4, 8) + conv_bn_params(8, 8) + conv_bn_params(4, 8, 1)
    expected += 8 * 10 + 10
    groups = resnet((8, 8, 1), 10, (4, 8), (2, 1), stem=5)
    assert count(groups) == expected
    assert groups[0].output_shape == (None, 8, 8, 4)


def test_resnet_stem_is_as_wide_as_the_first_stage_by_default() -> None:
    groups = resnet((8, 8, 1), 10, (4, 8), (1, 1))
    assert groups[0].get_layer("resnet_g0_stem_conv").filters == 4
    assert not any("shortcut" in layer.name for layer in groups[0].layers)


def test_resnet_halves_odd_images_upwards() -> None:
    assert [g.output_shape[1:] for g in resnet((28, 28, 1), 10, (2,) * 5, (1,) * 5)] == [
        (28, 28, 2),
        (14, 14, 2),
        (7, 7, 2),
        (4, 4, 2),
        (10,),
    ]


def test_vgg_has_the_parameters_of_its_definition() -> None:
    expected = conv_bn_params(1, 4) + conv_bn_params(4, 8) + conv_bn_params(8, 8) + 8 * 10 + 10
    groups = vgg((8, 8, 1), 10, (4, 8), (1, 2))
    assert count(groups) == expected
    assert groups[0].output_shape == (None, 4, 4, 4)


@pytest.mark.parametrize(
    ("shape", "boundaries"),
    [
        ((32, 32, 1), [(14, 14, 6), (5, 5, 16), (120,), (10,)]),
        ((28, 28, 1), [(14, 14, 6), (5, 5, 16), (120,), (10,)]),
        ((8, 8, 1), [(4, 4, 6), (2, 2, 16), (120,), (10,)]),
    ],
)
def test_lenet5_keeps_pixels_up_to_the_dense_layers(
    shape: tuple[int, int, int], boundaries: list[tuple[int, ...]]
) -> None:
    assert [g.output_shape[1:] for g in lenet5(shape, 10)] == boundaries


def test_vit_has_the_parameters_of_its_definition() -> None:
    width, mlp, tokens, patch_values = 8, 12, 5, 4 * 4 * 1
    embedding = patch_values * width + tokens * width  # biases, class token and positions are one table
    attention = 4 * (width * width + width)
    layer = attention + 2 * 2 * width + width * mlp + mlp + mlp * width + width
    head = 2 * width + width * 5 + 5
    assert count(TINY["vit"]()) == embedding + 2 * layer + head


def test_vit_reads_patches_row_by_row() -> None:
    """The projection of each patch equals a strided convolution with the same kernel: no pixel is misplaced."""
    first = vit((8, 12, 3), 5, patch=4, width=8, depth=1, heads=2, mlp=8, groups=1)[0]
    embedding = first.get_layer("vit_g0_embedding")
    x = np.random.default_rng(0).normal(size=(2, 8, 12, 3)).astype(np.float32)
    got = np.asarray(keras.Model(first.input, embedding.output)(x))
    kernel = np.asarray(embedding.kernel).reshape(4, 4, 3, 8)
    patches = np.asarray(keras.ops.conv(x, kernel, strides=4)).reshape(2, 6, 8)
    bias = np.asarray(embedding.bias)
    # 48 float32 products per value in another order.
    np.testing.assert_allclose(got[:, 1:], patches + bias[1:], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(got[:, 0], np.tile(bias[0], (2, 1)), rtol=1e-6)


def test_vit_attention_starts_at_the_scale_of_a_dense_layer() -> None:
    group = vit((8, 8, 1), 5, patch=4, width=48, depth=1, heads=3, mlp=8, groups=1)[0]
    layer = group.get_layer("vit_g0_layer0_attention")
    for role in ("query", "key", "value", "output"):
        # Glorot-uniform on 48x48 has standard deviation sqrt(2 / 96) = 0.144; 2,304 draws are within 5 % of it.
        assert np.std(getattr(layer, f"{role}_dense").kernel) == pytest.approx(np.sqrt(2 / 96), rel=0.05)


REFUSED: list[tuple[Callable[[], object], str]] = [
    (lambda: resnet((8, 8, 1), 10, (4, 8), (1,)), r"2 widths \[4, 8\] and 1 depths \[1\]; expected one depth for each"),
    (lambda: vgg((8, 8, 1), 10, (4,), (1, 1)), r"1 widths \[4\] and 2 depths \[1, 1\]"),
    (lambda: resnet((8, 8, 1), 10, (4, 0), (1, 1)), r"widths\[1\]=0; expected a whole number of at least 1"),
    (lambda: resnet((8, 8, 1), 10, (4, 8), (1, -1)), r"depths\[1\]=-1"),
    (lambda: resnet((8, 8, 1), 10, (4, 2.5), (1, 1)), r"widths\[1\]=2.5"),  # type: ignore[arg-type]
    (lambda: resnet((8, 8, 1), 10, (), ()), r"widths=\(\); expected a list of whole numbers"),
    (lambda: resnet((8, 8, 1), 10, "48", (1, 1)), r"widths='48'; expected a list"),  # type: ignore[arg-type]
    (lambda: resnet((8, 8, 1), 0, (4,), (1,)), r"num_classes=0"),
    (lambda: resnet((8, 8, 1), 10, (4,), (1,), stem=0), r"stem=0"),
    (lambda: resnet((8, 8), 10, (4,), (1,)), r"input_shape=\(8, 8\); expected \(height, width, channels\)"),
    (lambda: resnet((2, 2, 1), 10, (4,) * 3, (1,) * 3), r"stage 2 would halve .* Give at most 2 widths"),
    (lambda: vgg((28, 28, 1), 10, (4,) * 5, (1,) * 5), r"28 pixels can be max-pooled 4 times.*at least 32 pixels"),
    (lambda: lenet5((3, 3, 1), 10), r"3 pixels and kernel=5.*leave nothing.*at least 4 pixels"),
    (lambda: lenet5((28, 28, 1), 10, kernel=15), r"28 pixels and kernel=15"),
    (lambda: lenet5((28, 28, 1), 10, (6, 16, 3)), r"channels=\[6, 16, 3\] with 3 numbers; expected 2"),
    (
        lambda: vit((9, 8, 1), 10, patch=4, width=8, depth=2, heads=2, mlp=8, groups=2),
        r"image height 9 and patch=4; expected a multiple of 4. Resize",
    ),
    (
        lambda: vit((8, 8, 1), 10, patch=4, width=8, depth=2, heads=3, mlp=8, groups=2),
        r"width 8 and heads=3; expected a multiple of 3",
    ),
    (
        lambda: vit((8, 8, 1), 10, patch=4, width=8, depth=3, heads=2, mlp=8, groups=2),
        r"depth 3 and groups=2; expected a multiple of 2",
    ),
    (lambda: vit((8, 8, 1), 10, patch=4, width=8, depth=2, heads=2, mlp=0, groups=2), r"mlp=0"),
]


@pytest.mark.parametrize(("build", "message"), REFUSED)
def test_wrong_parameters_are_refused_by_name(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        build()
