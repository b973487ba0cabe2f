"""Every loss against its formula written out in numpy, in float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfpwl.distill import losses

# float32 sums over a few hundred terms against float64.
TOLERANCE = {"rtol": 2e-5, "atol": 2e-6}
RNG = np.random.default_rng(0)
Z_S, Z_T = RNG.normal(0, 3, (2, 6, 5)).astype("float32")
Y = np.array([0, 4, 2, 2, 1, 3])


def softmax(z):
    e = np.exp(z.astype("float64") - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def distance(a, b):
    a, b = a.astype("float64").reshape(len(a), -1), b.astype("float64").reshape(len(b), -1)
    cosine = (a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return ((a - b) ** 2).mean() + (1 - cosine).mean()


def floored_distance(a, b):
    """The distance with its floor of 1e-3 under the root mean squares, and its gradient by ``a``, in float64."""
    a, b = a.astype("float64").reshape(len(a), -1), b.astype("float64").reshape(len(b), -1)
    norm_a, norm_b = (np.sqrt((x**2).sum(1, keepdims=True) + x.shape[1] * 1e-6) for x in (a, b))
    ab = (a * b).sum(1, keepdims=True)
    gradient = 2 * (a - b) / a.size - (b - ab * a / norm_a**2) / (norm_a * norm_b) / len(a)
    return ((a - b) ** 2).mean() + (1 - ab / (norm_a * norm_b)).mean(), gradient


def features(*shapes, seed=1):
    rng = np.random.default_rng(seed)
    return [rng.normal(0.3, 1, (6, *shape)).astype("float32") for shape in shapes]


def test_hard_loss_is_cross_entropy():
    expected = -np.log(softmax(Z_S)[np.arange(6), Y]).mean()
    np.testing.assert_allclose(losses.hard_loss(Z_S, Y), expected, **TOLERANCE)


def test_label_smoothing_spreads_the_target_over_all_classes():
    target = 0.9 * np.eye(5)[Y] + 0.1 / 5
    expected = -(target * np.log(softmax(Z_S))).sum(-1).mean()
    np.testing.assert_allclose(losses.hard_loss(Z_S, Y, label_smoothing=0.1), expected, **TOLERANCE)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_soft_loss_is_scaled_divergence_from_the_teacher(temperature):
    p, q = softmax(Z_T / temperature), softmax(Z_S / temperature)
    expected = temperature**2 * (p * np.log(p / q)).sum(-1).mean()
    np.testing.assert_allclose(losses.soft_loss(Z_T, Z_S, temperature=temperature), expected, **TOLERANCE)


def test_soft_loss_of_equal_logits_is_nothing():
    np.testing.assert_allclose(losses.soft_loss(Z_T, Z_T, temperature=2.0), 0.0, atol=1e-6)  # rounding of exp and log


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(0, 2**16))
def test_feature_distance_is_mse_plus_one_minus_cosine(shape, seed):
    a, b = features(tuple(shape), tuple(shape), seed=seed)
    np.testing.assert_allclose(losses.feature_distance(a, b), floored_distance(a, b)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("apart", [1e-1, 1e-2, 1e-3, 1e-4])
def test_feature_distance_keeps_its_digits_near_convergence(apart):
    import tensorflow as tf

    a, noise = features((4, 4, 8), (4, 4, 8))
    b = a + np.float32(apart) * np.roll(noise, 1)
    expected, direction = floored_distance(a, b)
    subject = tf.Variable(a)
    with tf.GradientTape() as tape:
        loss = losses.feature_distance(subject, b)
    gradient = np.reshape(tape.gradient(loss, subject), direction.shape)
    # By |a|² + |b|² - 2ab the loss was off by 24 % at 1e-4.
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    # a and b themselves have 7 digits, so that a difference of 1e-4 has 3.
    assert np.linalg.norm(gradient - direction) < 1e-6 / apart * np.linalg.norm(direction)


def test_feature_distance_of_equal_features_is_nothing_and_of_opposite_ones_has_cosine_two():
    (a,) = features((3, 3, 2))
    np.testing.assert_allclose(losses.feature_distance(a, a), 0.0, atol=2e-6)  # the floor: 1e-6 of the mean square
    np.testing.assert_allclose(losses.feature_distance(a, -a), 4 * (a.astype("float64") ** 2).mean() + 2, rtol=1e-5)


def test_a_dead_feature_has_a_gradient_of_ordinary_size():
    import tensorflow as tf

    (a,) = features((3, 3, 2))
    dead = tf.Variable(np.zeros_like(a))
    with tf.GradientTape() as tape:
        loss = losses.feature_distance(dead, a)
    gradient = tape.gradient(loss, dead)
    # |d cos / da| <= 1 / (smallest rms * sqrt(size)), over a batch of 6
    assert np.linalg.norm(gradient, axis=-1).max() < 1 / (1e-3 * np.sqrt(18))
    np.testing.assert_allclose(loss, (a.astype("float64") ** 2).mean() + 1.0, rtol=1e-5)


def test_sync_loss_is_the_mean_over_boundaries_of_both_directions():
    s = features((4, 4, 2), (2, 2, 3))
    t = features((4, 4, 5), (2, 2, 6), seed=2)
    encoded = features((4, 4, 2), (2, 2, 3), seed=3)
    decoded = features((4, 4, 5), (2, 2, 6), seed=4)
    expected = np.mean([distance(s[i], encoded[i]) + distance(t[i], decoded[i]) for i in range(2)])
    np.testing.assert_allclose(losses.sync_loss(s, t, encoded, decoded), expected, **TOLERANCE)


def test_sync_loss_without_converters_counts_the_one_distance_twice():
    s, t = features((4, 4, 2)), features((4, 4, 2), seed=2)
    np.testing.assert_allclose(losses.sync_loss(s, t, t, s), 2 * distance(s[0], t[0]), **TOLERANCE)


def test_recon_loss_compares_each_feature_with_its_way_there_and_back():
    s, t = features((4, 4, 2)), features((4, 4, 5), seed=2)
    s_again, t_again = features((4, 4, 2), seed=3), features((4, 4, 5), seed=4)
    expected = distance(t[0], t_again[0]) + distance(s[0], s_again[0])
    np.testing.assert_allclose(losses.recon_loss(s, t, s_again, t_again), expected, **TOLERANCE)
