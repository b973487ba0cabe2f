"""Equalising the channels of a boundary: exact for every mix, and the ranges are alike afterwards."""

from __future__ import annotations

import numpy as np
import pytest

from tfpwl.errors import QuantizationError
from tfpwl.mix import all_mixes, path, prefix_order
from tfpwl.models import lenet5, resnet, vgg, vit
from tfpwl.pairs import make_pair, named_models
from tfpwl.quantize.chain import End
from tfpwl.quantize.equalize import channel_ranges, equalize, scale_channels

X = np.random.default_rng(0).normal(size=(16, 8, 8, 1)).astype("float32")


def pair_of(build, student, teacher):
    sides = [build((8, 8, 1), 10, *widths, name=name) for name, widths in (("student", student), ("teacher", teacher))]
    return make_pair(*sides)


PAIRS = {
    "lenet5": lambda: pair_of(lenet5, ((2, 3), (8, 6)), ((4, 6), (16, 12))),
    "vgg": lambda: pair_of(vgg, ((2, 4), (1, 1)), ((4, 8), (2, 2))),
    "vgg of equal widths": lambda: pair_of(vgg, ((4, 4), (1, 1)), ((4, 8), (2, 2))),
    "resnet": lambda: pair_of(resnet, ((2, 4, 4), (1, 1, 1)), ((4, 6, 8), (2, 2, 1))),
}


def answers(pair, mix):
    x = X
    for model in pair.chain(mix):
        x = np.asarray(model(x, training=False))
    return x


@pytest.mark.parametrize("kind", PAIRS)
def test_every_mix_answers_as_before_and_the_outlier_is_gone(kind):
    pair = PAIRS[kind]()
    mixes = path(prefix_order(pair.num_groups))
    end = End(0, "teacher")
    factors = np.ones(pair.boundaries[0].teacher[-1])
    factors[1] = 1 / 50
    hard = scale_channels(pair, end, factors)
    before, spoilt = (channel_ranges(named_models(one), X, mixes)[end] for one in (pair, hard))
    np.testing.assert_allclose(spoilt, before / factors, rtol=1e-4)
    result = equalize(hard, X, mixes)
    assert not result.skipped
    loud, calm = result.spread[end]
    assert loud > 10
    assert calm < loud / 5
    np.testing.assert_allclose(
        channel_ranges(named_models(result.pair), X, mixes)[end].max() / before.max(), 1.0, atol=4.0
    )  # of the size it had, not of the outlier's
    for mix in all_mixes(pair.num_groups):
        expected = answers(pair, mix)
        for other in (hard, result.pair):
            # Factors are no powers of two: each weight is rounded once more, in float32.
            np.testing.assert_allclose(answers(other, mix), expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_the_pair_that_was_given_stays():
    pair = PAIRS["resnet"]()
    before = [w for model in named_models(pair).values() for w in model.get_weights()]
    equalize(pair, X, path(prefix_order(3)))
    after = [w for model in named_models(pair).values() for w in model.get_weights()]
    for old, now in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, now)


def test_channels_that_a_normalization_reads_are_left_and_named():
    sides = [vit((8, 8, 1), 10, patch=4, width=8, depth=2, heads=2, mlp=16, groups=2, name=n) for n in ("s", "t")]
    pair = make_pair(*sides)
    result = equalize(pair, X, path(prefix_order(2)))
    assert set(result.skipped) == {End(0, "student"), End(0, "teacher")}
    assert "they pass layer" in result.skipped[End(0, "teacher")]
    with pytest.raises(QuantizationError, match=r"channels of the teacher side of boundary 0 cannot be scaled: they"):
        scale_channels(pair, End(0, "teacher"), np.ones(8))


def test_a_dead_channel_is_not_blown_up():
    pair = PAIRS["vgg"]()
    conv = pair.teacher[0].get_layer("teacher_g0_1_bn")
    conv.set_weights([np.where(np.arange(4) == 2, 0.0, w).astype("float32") if i < 2 else w for i, w in
                      enumerate(conv.get_weights())])  # fmt: skip
    result = equalize(pair, X, path(prefix_order(2)))
    ranges = channel_ranges(named_models(result.pair), X, path(prefix_order(2)))[End(0, "teacher")]
    assert np.isfinite(ranges).all()
    assert ranges[2] <= ranges.max()
    for weights in (w for model in named_models(result.pair).values() for w in model.get_weights()):
        assert np.isfinite(weights).all()
