import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfpwl.errors import ModelError
from tfpwl.wave import KroneckerConv2D, KroneckerDense, Templates, kronecker_sum
from tfpwl.wave.kronecker import common_shape, scaler_shape

small = st.integers(1, 4)


def draw(rng, *shape):
    return rng.normal(size=shape).astype("float32")


@settings(max_examples=25, deadline=None)
@given(num=small, r=small, c=small, p=small, q=small, seed=st.integers(0, 99))
def test_a_matrix_is_the_sum_of_numpys_kronecker_products(*, num, r, c, p, q, seed):
    rng = np.random.default_rng(seed)
    scalers, templates = draw(rng, num, r, c), draw(rng, num, p, q)
    expected = sum(np.kron(s.astype("float64"), t.astype("float64")) for s, t in zip(scalers, templates, strict=True))
    # float32 sums of at most 4 products of numbers of size 1
    np.testing.assert_allclose(kronecker_sum(scalers, templates), expected, rtol=1e-4, atol=1e-5)


@settings(max_examples=15, deadline=None)
@given(num=small, side=st.integers(1, 3), r=small, c=small, p=small, q=small, seed=st.integers(0, 99))
def test_a_convolution_has_a_kronecker_sum_at_every_position(*, num, side, r, c, p, q, seed):
    rng = np.random.default_rng(seed)
    scalers, templates = draw(rng, num, r, c), draw(rng, num, side, side, p, q)
    made = np.asarray(kronecker_sum(scalers, templates))
    assert made.shape == (side, side, r * p, c * q)
    for y in range(side):
        for x in range(side):
            expected = sum(np.kron(s, t[y, x]) for s, t in zip(scalers, templates, strict=True))
            np.testing.assert_allclose(made[y, x], expected, rtol=1e-4, atol=1e-5)  # as above


@settings(max_examples=10, deadline=None)
@given(num=small, r=small, c=small, p=small, q=small, bias=st.booleans(), seed=st.integers(0, 99))
def test_a_dense_layer_computes_with_numpys_kronecker_product(*, num, r, c, p, q, bias, seed):
    rng = np.random.default_rng(seed)
    layer = KroneckerDense(c * q, Templates(draw(rng, num, p, q), "dense"), use_bias=bias, activation="relu")
    x = draw(rng, 3, r * p)
    layer(x)
    scalers = draw(rng, num, r, c)
    layer.scalers.assign(scalers)
    b = draw(rng, c * q) if bias else np.zeros(c * q)
    if bias:
        layer.bias.assign(b)
    weight = sum(np.kron(s, np.asarray(t)) for s, t in zip(scalers, np.asarray(layer.templates.templates), strict=True))
    np.testing.assert_allclose(layer(x), np.maximum(x @ weight + b, 0), rtol=1e-3, atol=1e-4)  # float32, 16 terms


@settings(max_examples=6, deadline=None)
@given(num=small, r=small, c=small, p=small, q=small, stride=st.integers(1, 2), seed=st.integers(0, 99))
def test_a_convolution_computes_with_numpys_kronecker_product(*, num, r, c, p, q, stride, seed):
    rng = np.random.default_rng(seed)
    layer = KroneckerConv2D(
        c * q, Templates(draw(rng, num, 3, 3, p, q), "conv3x3"), strides=stride, padding="valid", use_bias=False
    )
    x = draw(rng, 2, 5, 7, r * p)
    layer(x)
    scalers, templates = draw(rng, num, r, c), np.asarray(layer.templates.templates)
    layer.scalers.assign(scalers)
    expected = np.zeros((2, 2 // stride + 1, 4 // stride + 1, c * q))
    for dy in range(3):
        for dx in range(3):
            weight = sum(np.kron(s, t[dy, dx]) for s, t in zip(scalers, templates, strict=True))
            rows, columns = expected.shape[1:3]
            seen = x[:, dy : dy + stride * rows : stride, dx : dx + stride * columns : stride]
            expected += seen[:, :rows, :columns] @ weight
    np.testing.assert_allclose(layer(x), expected, rtol=1e-3, atol=1e-3)  # float32, up to 144 terms of size 4


@given(sides=st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), min_size=1, max_size=5))
def test_the_common_template_is_the_greatest_common_divisor(sides):
    rows, columns = zip(*sides, strict=True)
    p, q = common_shape(sides)
    assert (p, q) == (math.gcd(*rows), math.gcd(*columns))
    for weight in sides:
        assert scaler_shape(weight, (p, q), "w") == (weight[0] // p, weight[1] // q)


@pytest.mark.parametrize(
    ("weight", "words"),
    [
        ((20, 8), "received 20 inputs; .* are 8x8, so expected a multiple of 8. The nearest that work: 16 and 24."),
        ((8, 30), "received 30 outputs; .* expected a multiple of 8. The nearest that work: 24 and 32."),
        ((5, 8), "expected a multiple of 8. The smallest that works: 8."),
        ((3, 3, 8, 8), "sides must agree"),
    ],
)
def test_widths_that_templates_do_not_divide_name_the_nearest_that_work(weight, words):
    with pytest.raises(ModelError, match=f"fc1: .*{words}"):
        scaler_shape(weight, (8, 8), "fc1")
