"""Stratified splits are disjoint, cover everything and keep every class's share."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tfpwl.data import stratified_split

LABELS = st.lists(st.integers(0, 4), min_size=1, max_size=60).map(np.array)
FRACTIONS = st.floats(0.01, 0.99)
SEEDS = st.integers(0, 1000)


@given(LABELS, FRACTIONS, SEEDS)
def test_the_parts_are_disjoint_and_cover_everything(y: np.ndarray, fraction: float, seed: int) -> None:
    large, small = stratified_split(y, fraction, seed=seed)
    assert sorted([*large.tolist(), *small.tolist()]) == list(range(len(y)))


@given(LABELS, FRACTIONS, SEEDS)
def test_every_class_gives_its_share_within_one_and_keeps_at_least_one(
    y: np.ndarray, fraction: float, seed: int
) -> None:
    large, small = stratified_split(y, fraction, seed=seed)
    for label in np.unique(y):
        size, given_away = np.sum(y == label), np.sum(y[small] == label)
        # 1e-9: size * fraction is a rounded product.
        assert abs(given_away - size * fraction) <= 1 + 1e-9
        assert np.sum(y[large] == label) >= 1
        assert given_away >= 1 or size == 1


@given(LABELS, FRACTIONS, SEEDS)
def test_one_seed_gives_one_split(y: np.ndarray, fraction: float, seed: int) -> None:
    first, second = stratified_split(y, fraction, seed=seed), stratified_split(y, fraction, seed=seed)
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


def test_another_seed_gives_another_split() -> None:
    y = np.zeros(100, np.int64)
    assert not np.array_equal(stratified_split(y, 0.5, seed=0)[1], stratified_split(y, 0.5, seed=1)[1])
